// A process of the raw layer: allocates, exports, opens and copies as the test says.
const cuda = require("../../dist/lib/cuda/index.js");
const serve = require("./commands.cjs");

const events = new Map();

async function fill(pointer, bytes, value) {
  await cuda.cudaMemset(pointer, value, bytes);
}

/** What `takeAll` holds: pointers and bytes. */
const taken = [];

serve({
  /** All that the driver gives, in ever smaller pieces down to 2 MiB, with a pattern over it. Returns the bytes. */
  async takeAll(value) {
    for (let bytes = 2 ** 40; bytes >= 2 ** 21; bytes /= 2) {
      for (;;) {
        const pointer = await cuda.cudaMalloc(bytes).catch((error) => {
          if (error.code !== "ERR_CUDA_IPC_OUT_OF_MEMORY") throw error;
        });
        if (pointer === undefined) break;
        taken.push([pointer, bytes]);
        await fill(pointer, bytes, value);
      }
    }
    await cuda.cudaDeviceSynchronize();
    return taken.reduce((sum, [, bytes]) => sum + bytes, 0);
  },
  async freeAll() {
    for (const [pointer] of taken.splice(0)) await cuda.cudaFree(pointer);
  },
  async malloc(bytes, value = 0) {
    const pointer = await cuda.cudaMalloc(bytes);
    await fill(pointer, bytes, value);
    return pointer;
  },
  free: (pointer) => cuda.cudaFree(pointer),
  fill,
  async read(pointer, bytes) {
    const target = Buffer.alloc(bytes);
    await cuda.cudaMemcpy(target, pointer);
    return target;
  },
  write: (pointer, data) => cuda.cudaMemcpy(pointer, data),
  memory: () => cuda.cudaMemGetInfo(),
  async memoryInUse() {
    let used = 0;
    for (let device = 0; device < (await cuda.cudaGetDeviceCount()); device++) {
      const { freeBytes, totalBytes } = await cuda.cudaMemGetInfo({ device });
      used += totalBytes - freeBytes;
    }
    return used;
  },
  settle: () => ({ mappings: 0, references: 0, fds: {} }),
  async export(pointer) {
    return cuda.handleToBase64(await cuda.cudaIpcGetMemHandle(pointer));
  },
  open: (handle) => cuda.cudaIpcOpenMemHandle(handle),
  close: (pointer) => cuda.cudaIpcCloseMemHandle(pointer),
  shareable: (pointer, bytes) => cuda.shareable(pointer, { bytes }),
  async readShared(shared) {
    const memory = await cuda.openShared(shared);
    try {
      const target = Buffer.alloc(memory.bytes);
      await cuda.cudaMemcpy(target, memory.devicePointer);
      return target;
    } finally {
      await memory.dispose();
    }
  },
  async createEvent(options) {
    const event = await cuda.cudaEventCreate(options);
    events.set(events.size, event);
    return events.size - 1;
  },
  async openEvent(handle) {
    events.set(events.size, await cuda.cudaIpcOpenEventHandle(handle));
    return events.size - 1;
  },
  eventHandle: (key) => cuda.handleToBase64(cuda.cudaIpcGetEventHandle(events.get(key))),
  recordEvent: (key) => cuda.cudaEventRecord(events.get(key)),
  queryEvent: (key) => cuda.cudaEventQuery(events.get(key)),
  synchronizeEvent: (key) => cuda.cudaEventSynchronize(events.get(key)),
  destroyEvent: (key) => cuda.cudaEventDestroy(events.get(key)),
});
