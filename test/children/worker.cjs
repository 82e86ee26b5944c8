// A worker process: attaches, reads, releases as the test says.
const { createHash } = require("node:crypto");
const { attach } = require("../../dist/lib/index.js");
const { native } = require("../../dist/lib/native.js");
const serve = require("./commands.cjs");

const held = new Map();
let next = 0;
let unreleased = 0;

process.on("warning", (warning) => {
  if (warning.code?.startsWith("CUDA_IPC")) serve.emit("warning", warning.code);
});

function keep(weights) {
  const key = next++;
  held.set(key, weights);
  for (const event of ["superseded", "retired", "ownerlost"]) {
    weights.on(event, (detail) =>
      serve.emit(event, { key, detail: detail instanceof Error ? detail.code : detail }),
    );
  }
  return key;
}

serve({
  async attach(name, options) {
    return keep(await attach(name, options));
  },
  async abortedAttach(name, options) {
    const controller = new AbortController();
    const attaching = attach(name, { ...options, signal: controller.signal });
    controller.abort();
    await attaching;
  },
  facts(key) {
    const { name, version, sharing, access, checksum, bytes, devices, size, disposed } = held.get(key);
    return { name, version, sharing, access, checksum, bytes, devices, size, disposed };
  },
  async retain(key) {
    return keep(await held.get(key).retain());
  },
  async release(key) {
    await held.get(key).release();
  },
  refCount: (key) => held.get(key).refCount(),
  async read(key, tensor) {
    return held.get(key).tensor(tensor).toBuffer();
  },
  async write(key, tensor, data) {
    await held.get(key).tensor(tensor).write(data);
  },
  async hashes(key) {
    const hashes = {};
    for (const tensor of held.get(key).tensors()) {
      const bytes = await tensor.toBuffer();
      hashes[tensor.name] = {
        dtype: tensor.dtype,
        shape: [...tensor.shape],
        sha256: createHash("sha256").update(bytes).digest("hex"),
      };
    }
    return hashes;
  },
  computeChecksum: (key) => held.get(key).computeChecksum(),
  pointer: (key, tensor) => held.get(key).tensor(tensor).devicePointer,
  async attachAndForget(name, options, expose) {
    // In a frame of its own, so that nothing on the stack keeps the weights.
    await (async () => {
      const weights = await attach(name, options);
      const tensor = weights.tensor(weights.names()[0]);
      if (expose) unreleased = tensor.devicePointer;
      else await tensor.toBuffer();
    })();
    return typeof unreleased;
  },
  async collect() {
    for (let round = 0; round < 20; round++) {
      global.gc();
      await new Promise(setImmediate);
    }
  },
  mappings: () => native.mappingStatistics(),
  memory: (device = 0) => native.memoryInfo(device),
  openFds: () => require("node:fs").readdirSync("/proc/self/fd").length,
  pid: () => process.pid,
});
