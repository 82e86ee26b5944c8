// A worker process: attaches, reads, releases as the test says.
const { EventEmitter, once } = require("node:events");
const { createHash } = require("node:crypto");
const { existsSync } = require("node:fs");
const path = require("node:path");
const { Worker } = require("node:worker_threads");
const {
  attach,
  builtinModule,
  cudaDeviceSynchronize,
  cudaFree,
  cudaMalloc,
} = require("../../dist/lib/index.js");
const { cudaMemcpy, disconnect, Event, Stream } = require("../../dist/lib/index.js");
const { native } = require("../../dist/lib/native.js");
const { ClientConnection } = require("../../dist/lib/wire/client.js");
const { packTensors } = require("../../dist/lib/wire/manifest.js");
const serve = require("./commands.cjs");
const inspect = require("./inspect.cjs");
const hoard = require("./hoard.cjs");
const askByParts = require("./asking.cjs");

const held = new Map();
const threads = [];
const locks = [];
let next = 0;
let unreleased = 0;
let fdsBefore;
let socketsBefore;

const channels = [];
const { ask, connect, tryConnect } = native;
const connected = (channel) => {
  if (channel === undefined) return undefined;
  channels.push(channel);
  serve.emit("connected");
  return channel;
};
native.connect = async (socket) => connected(await connect(socket));
native.tryConnect = (socket) => connected(tryConnect(socket));
native.ask = (...asking) => {
  const asked = ask(...asking);
  connected(asked?.channel);
  return asked;
};

process.on("warning", (warning) => {
  if (warning.code?.startsWith("CUDA_IPC")) serve.emit("warning", warning.code);
});

function keep(weights) {
  const key = next++;
  held.set(key, weights);
  for (const event of ["superseded", "reinstated", "retired", "ownerlost", "ownerfound"]) {
    weights.on(event, (detail) =>
      serve.emit(event, { key, detail: detail instanceof Error ? detail.code : detail }),
    );
  }
  return key;
}

const aborter = new AbortController();
const gate = new EventEmitter();
const enough = () => Object.assign(new Error("enough"), { code: "ENOUGH" });

async function forget(name, options, use) {
  const weights = await attach(name, options);
  await use(weights.tensor(weights.names()[0]));
}

serve({
  ...hoard,
  async warmUp() {
    await inspect.warmUp();
    fdsBefore = inspect.openFds();
    socketsBefore = inspect.sockets();
  },
  async attach(name, options) {
    return keep(await attach(name, options));
  },
  /** Attaches, and sees and hears nothing until the memory is mapped. How many mappings there are then. */
  async attachStandingStill(name, options) {
    const attaching = attach(name, options);
    const nobody = new Int32Array(new SharedArrayBuffer(4));
    const mapped = () => native.mappingStatistics().references;
    for (let waits = 0; waits < 1000 && mapped() === 0; waits++) Atomics.wait(nobody, 0, 0, 5);
    const found = mapped();
    keep(await attaching);
    return found;
  },
  async attachThenRelease(name, options) {
    const weights = await attach(name, options);
    await weights.release();
  },
  /** Sees and hears nothing until the file is there, then attaches at once. */
  async attachOnceThere(file, name, options) {
    const nobody = new Int32Array(new SharedArrayBuffer(4));
    while (!existsSync(file)) Atomics.wait(nobody, 0, 0, 5);
    return keep(await attach(name, options));
  },
  /** Keeps the lock until the process ends. */
  async lock(key, name, options) {
    locks.push(await held.get(key).lock(name, options));
  },
  /** Offers what is held as if another process's lease were this one's. */
  async offerRaw(socket, key, lease) {
    const { version, slabs, tensors } = held.get(key).attachment;
    const { id, set, number, sharing, writable, checksum } = version;
    const body = {
      version: {
        ...{ id, set, number, sharing, writable, checksum },
        tensors: packTensors(tensors.all()),
      },
      slabs: slabs.map((slab) => ({
        ...{ id: slab.id, device: slab.uuid, bytes: slab.bytes, sharing, handle: null },
      })),
      leases: [lease],
    };
    const line = new ClientConnection({
      channel: await native.connect(socket),
      start: native.startChannel,
      hello: {
        client: { name: "raw", version: "0" },
        driver: { provider: native.chosenProvider(), version: null },
        devices: null,
      },
    });
    try {
      return (await line.request("offer", body, { fds: slabs.map(({ fd }) => fd) })).message;
    } catch ({ code }) {
      return { code };
    } finally {
      line.close();
    }
  },
  /** In an environment of its own, which has a client of its own. */
  async attachInThread(name, options) {
    const thread = new Worker(path.join(__dirname, "holding-thread.cjs"), { workerData: { name, options } });
    await once(thread, "message");
    threads.push(thread);
    return threads.length - 1;
  },
  async releaseInThread(index) {
    threads[index].postMessage("release");
    await once(threads[index], "exit");
  },
  disconnect,
  /** The connections to owners: their sockets' inodes. */
  connections: () => inspect.sockets(socketsBefore),
  async connectionsGone() {
    const left = () => inspect.sockets(socketsBefore);
    return (await inspect.watchFor(left, (sockets) => sockets.length === 0)).length === 0;
  },
  /** What keeps the process alive. */
  resources: () => process.getActiveResourcesInfo(),
  /** Aborts the attach at once. */
  async abortedAttach(name, options) {
    const controller = new AbortController();
    const attaching = attach(name, { ...options, signal: controller.signal });
    controller.abort(enough());
    await attaching;
  },
  /** Attaches, and gives that up when there is such a file, without having looked at any answer. */
  async giveUpOnceThere(file, name, options) {
    const controller = new AbortController();
    const nobody = new Int32Array(new SharedArrayBuffer(4));
    const standStill = () => {
      while (!existsSync(file)) Atomics.wait(nobody, 0, 0, 5);
      controller.abort(enough());
    };
    const { ask, watchGrants } = native;
    native.ask = askByParts();
    native.watchGrants = (channel) => {
      const grants = watchGrants(channel);
      // A rehearsal has none of the channels.
      if (!channels.includes(channel)) return grants;
      Object.assign(native, { ask, watchGrants });
      return {
        open: (...args) => grants.open(...args),
        end: (lease) => grants.end(lease),
        expect(...args) {
          grants.expect(...args);
          // The request goes out in this turn.
          queueMicrotask(standStill);
        },
      };
    };
    await attach(name, { ...options, signal: controller.signal });
  },
  /** Attaches, but the memory is mapped only when the test says `proceed` or `abort`. */
  async attachHeldBack(name, options) {
    const { ask, openSlab, watchGrants } = native;
    // Nor is it mapped early.
    native.ask = askByParts();
    native.watchGrants = () => ({ expect() {}, open() {}, end() {} });
    native.openSlab = async (source) => {
      serve.emit("mapping");
      await once(gate, "open");
      Object.assign(native, { ask, openSlab, watchGrants });
      return openSlab(source);
    };
    return keep(await attach(name, { ...options, signal: aborter.signal }));
  },
  proceed: () => void gate.emit("open"),
  abort() {
    aborter.abort(enough());
    gate.emit("open");
  },
  facts(key) {
    const { name, version, sharing, access, checksum, bytes, devices, size, disposed } = held.get(key);
    return { name, version, sharing, access, checksum, bytes, devices, size, disposed };
  },
  async retain(key) {
    return keep(await held.get(key).retain());
  },
  async latest(key, options) {
    return keep(await held.get(key).latest(options));
  },
  async release(key) {
    await held.get(key).release();
  },
  releaseAfter: (key, after) => held.get(key).release({ after }),
  refCount: (key) => held.get(key).refCount(),
  async read(key, tensor) {
    return held.get(key).tensor(tensor).toBuffer();
  },
  async toHost(key, tensor) {
    return held.get(key).tensor(tensor).toHost();
  },
  async write(key, tensor, data) {
    await held.get(key).tensor(tensor).write(data);
  },
  /** Past the library's own check: a copy to the tensor's address. */
  async writeByPointer(key, tensor) {
    await cudaMemcpy(held.get(key).tensor(tensor).devicePointer, Buffer.alloc(1));
  },
  /** The same by a kernel. */
  async fillByPointer(key, tensor) {
    const { device, devicePointer: pointer, bytes } = held.get(key).tensor(tensor);
    const fill = await (await builtinModule(device)).function("cuda_ipc_fill_u8");
    fill.launch({ grid: 1, block: 32, args: [{ pointer }, { u64: BigInt(bytes) }, { u8: 0xee }] });
    await cudaDeviceSynchronize({ device });
  },
  tensorFacts(key) {
    return [...held.get(key).tensors()].map(({ name, dtype, shape, bytes, device, devicePointer }) => ({
      ...{ name, dtype, shape: [...shape], bytes, device, devicePointer },
    }));
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
  /** Attaches and loses the weights, with or without a raw pointer out of them. */
  async attachAndForget(name, options, expose) {
    await forget(name, options, async (tensor) => {
      if (expose) unreleased = tensor.devicePointer;
      else await tensor.toBuffer();
    });
    return typeof unreleased;
  },
  /** Keeps one tensor and nothing else of the weights. */
  async attachForTensor(name, options, tensor) {
    const weights = await attach(name, options);
    held.set("tensor", weights.tensor(tensor));
  },
  readTensor: () => held.get("tensor").toBuffer(),
  forgetTensor: () => held.delete("tensor"),
  async collect() {
    for (let round = 0; round < 20; round++) {
      global.gc();
      await new Promise(setImmediate);
    }
  },
  /** Fills a tensor over and over, on a stream of its own, and releases while that runs. */
  async releaseUnderWork(key, tensor, after, launches) {
    const weights = held.get(key);
    const view = weights.tensor(tensor);
    const module = await builtinModule(view.device);
    const fill = await module.function("cuda_ipc_fill_u32");
    const stream = await Stream.create({ device: view.device });
    const event = await Event.create({ device: view.device, timing: false });
    const count = BigInt(view.bytes / 4);
    for (let value = 1; value <= launches; value++) {
      const args = [{ pointer: view.devicePointer }, { u64: count }, { u32: value }];
      // One block: a whole GPU would be done with it before the release.
      fill.launch({ grid: 1, block: 256, stream, args });
    }
    event.record(stream);
    const pendingAtRelease = !event.query();
    await weights.release({ after: { stream, event, default: undefined, nothing: null }[after] });
    const doneAfterRelease = event.query();
    await stream.synchronize();
    await Promise.all([stream.dispose(), event.dispose()]);
    return { pendingAtRelease, doneAfterRelease };
  },
  /** The work is on memory of this process's own, and `after` is a stream, or an event, that has none of it. */
  async releaseBesideWork(key, bytes, after, launches) {
    const weights = held.get(key);
    const module = await builtinModule(0);
    const fill = await module.function("cuda_ipc_fill_u32");
    const pointer = await cudaMalloc(bytes);
    const [stream, idle] = [await Stream.create(), await Stream.create()];
    const [event, past] = [await Event.create({ timing: false }), await Event.create({ timing: false })];
    past.record(idle);
    for (let value = 1; value <= launches; value++) {
      const args = [{ pointer }, { u64: BigInt(bytes / 4) }, { u32: value }];
      fill.launch({ grid: 1, block: 256, stream, args });
    }
    event.record(stream);
    await weights.release({ after: { stream: idle, event: past }[after] });
    const doneAfterRelease = event.query();
    await stream.synchronize();
    await Promise.all([stream, idle, event, past].map((one) => one.dispose()));
    await cudaFree(pointer);
    return doneAfterRelease;
  },
  /** Closes the sockets to owners under the library. */
  breakConnection() {
    for (const channel of channels.splice(0)) channel.close();
  },
  becomeUid: (uid) => process.seteuid(uid),
  pid: () => process.pid,
  mappings: () => native.mappingStatistics(),
  memory: (device = 0) => native.memoryInfo(device),
  devices: async () => (await native.devices()).map(({ uuid }) => uuid),
  openFds: () => inspect.openFds(),
  /** Releases everything; what is left then. */
  /** What is left of attempts that came to nothing; connections that linger are closed. */
  leftovers: () => inspect.leftovers(fdsBefore),
  async settle() {
    for (const lock of locks) await lock.release();
    for (const weights of held.values()) await weights.release?.();
    held.clear();
    return inspect.leftovers(fdsBefore);
  },
});
