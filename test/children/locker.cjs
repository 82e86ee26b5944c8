// A worker process that takes locks as the test says.
const { attach } = require("../../dist/lib/index.js");
const { native } = require("../../dist/lib/native.js");
const { clientOf } = require("../../dist/lib/sharing/clients.js");
const { ClientConnection } = require("../../dist/lib/wire/client.js");
const { software } = require("../../dist/lib/sharing/software.js");
const serve = require("./commands.cjs");
const inspect = require("./inspect.cjs");

let weights;
let fdsBefore;
let socket;
const locks = new Map();
const aborts = new Map();
let raw;
const raws = [];
const rawLeases = [];

process.on("warning", (warning) => {
  if (warning.code?.startsWith("CUDA_IPC")) serve.emit("warning", warning.code);
});

async function lock(key, name, options = {}) {
  const controller = new AbortController();
  aborts.set(key, controller);
  const taken = await weights.lock(name, { ...options, signal: controller.signal });
  taken.on("lost", ({ code }) => serve.emit("lost", { key, code }));
  locks.set(key, taken);
}

/** One connection of its own, which does not come back when it is closed. */
function rawConnection(channel) {
  raw = new ClientConnection({
    channel,
    start: native.startChannel,
    hello: { client: software, driver: { provider: native.chosenProvider(), version: null }, devices: null },
  });
  raws.push(raw);
}

serve({
  async warmUp() {
    await inspect.warmUp();
    fdsBefore = inspect.openFds();
  },
  async attach(name, options) {
    socket = options.socket;
    weights = await attach(name, { access: "readwrite", ...options });
    weights.on("ownerlost", () => serve.emit("ownerlost"));
    weights.on("ownerfound", () => serve.emit("ownerfound"));
  },
  detach: () => weights.release(),
  lock,
  unlock: (key, options) => locks.get(key).release(options),
  abort: (key, reason) => aborts.get(key).abort(Object.assign(new Error(reason), { code: reason })),
  facts: (key) => ({ held: locks.get(key).held, lost: locks.get(key).lost }),
  /** Adds to a plain counter, read, changed and written back: without the lock, additions are lost. */
  async count(name, tensor, times) {
    const counter = weights.tensor(tensor);
    for (let i = 0; i < times; i++) {
      const held = await weights.lock(name);
      const [value] = await counter.toHost();
      await counter.write(Uint32Array.of(value + 1));
      await held.release();
    }
  },
  read: async (tensor) => [...(await weights.tensor(tensor).toHost())],
  /** Settles when the counter has come so far. */
  async reachCount(tensor, count) {
    const look = async () => (await weights.tensor(tensor).toHost())[0];
    await inspect.watchFor(look, (seen) => seen >= count, 60_000);
  },
  /** Adds one to a counter, so many times at once; the values from before. */
  add(tensor, times) {
    return Promise.all(Array.from({ length: times }, () => weights.tensor(tensor).atomicAdd(0, 1)));
  },
  async forgetLock(name) {
    await weights.lock(name);
  },
  async collect() {
    for (let round = 0; round < 20; round++) {
      global.gc();
      await new Promise(setImmediate);
    }
  },
  /** The connection breaks; the process lives on, and its client connects anew. */
  breakConnection() {
    clientOf(socket).link.open.options.channel.close();
  },
  /** Takes a lock on a connection of its own, as a client in another language might. */
  async rawLock({ socket, set, name, lease, lock, timeout = null }) {
    rawConnection(await native.connect(socket));
    const attached = await raw.request("attach", {
      ...{ set, version: null, checksum: null, access: "read", lease },
    });
    for (const fd of attached.fds) fd.close();
    rawLeases.push({ socket, lease });
    await raw.request("lock", { lease, name, lock, timeout });
  },
  /** Another lock through the lease of the present connection. */
  async rawLockMore({ name, lease, lock }) {
    await raw.request("lock", { lease, name, lock, timeout: null });
  },
  async rawRelease(lease) {
    await raw.request("release", { leases: [lease] });
  },
  /** As the thread that has the present connection would, when it ends. */
  rawFarewell: () => raw.connection.send({ type: "farewell" }),
  async rawUnlock(locks) {
    return (await raw.request("unlock", { locks })).message.ended;
  },
  rawClose: () => raw.close(),
  /** Another connection of the same process: what it holds of these locks. */
  async rawRelock(locks, socket) {
    rawConnection(await native.connect(socket));
    return (await raw.request("relock", { locks })).message.kept;
  },
  async settle() {
    for (const { socket, lease } of rawLeases) {
      rawConnection(await native.connect(socket));
      await raw.request("release", { leases: [lease] });
    }
    for (const connection of raws) connection.close();
    await weights?.release();
    weights = undefined;
    locks.clear();
    return inspect.leftovers(fdsBefore);
  },
});
