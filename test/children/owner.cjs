// An owner in a process of its own: listens, loads and closes as the test says.
const { execFileSync } = require("node:child_process");
const { Owner } = require("../../dist/lib/index.js");
const { loadersGone } = require("../../dist/lib/loading/load.js");
const { native } = require("../../dist/lib/native.js");
const serve = require("./commands.cjs");
const inspect = require("./inspect.cjs");
const hoard = require("./hoard.cjs");
if (process.env.CUDA_IPC_TEST_APART) require("./apart.cjs");

let owner;
let standby;
let fdsBefore;

const facts = ({
  id,
  number,
  set,
  sharing,
  checksum,
  bytes,
  tensors,
  devices,
  state,
  refCount,
  holders,
  presence,
}) => ({
  ...{ id, number, set, sharing, checksum, bytes, tensors, devices, state, refCount, holders, presence },
});
function adopt(taken) {
  owner = taken;
  owner.on("peererror", (error) => serve.emit("peererror", error.code));
  owner.on("error", (error) => serve.emit("error", error.code));
  for (const event of ["lost", "recovered", "refusedoffer", "handedover"]) {
    owner.on(event, (detail) => serve.emit(event, detail instanceof Error ? detail.code : null));
  }
  return owner.id;
}

const find = (id) => owner.versions().find((version) => version.id === id);

serve({
  ...hoard,
  async warmUp() {
    await inspect.warmUp();
    fdsBefore = inspect.openFds();
  },
  async listen(options) {
    const id = adopt(await Owner.listen(options));
    // It rehearses in its next turns, with descriptors of its own: tests count what is there otherwise.
    await new Promise(setImmediate);
    await owner.rehearsal;
    return id;
  },
  /** Emits "takenover" when it has become the owner. */
  async standby(options) {
    standby = await Owner.standby(options);
    standby.on("overtaken", () => serve.emit("overtaken", null));
    standby.on("error", (error) => serve.emit("error", error.message));
    standby.owner.then(
      (taken) => serve.emit("takenover", adopt(taken)),
      () => {},
    );
    return standby.versions;
  },
  standsBy: () => standby !== undefined && owner === undefined,
  standbyVersions: () => standby.versions,
  closeStandby: () => standby.close(),
  /** Is given everything, and never says that it listens. */
  async receiveOnly({ socket }) {
    const { receiveHandover } = require("../../dist/lib/sharing/handover-receive.js");
    const handover = await receiveHandover(socket);
    return handover.memory.size;
  },
  async takeOver(options) {
    return adopt(await Owner.takeOver(options));
  },
  /** The same, but "ready" is all that is ever heard of it: the old owner is not told that it may go. */
  takeOverInVain({ socket }) {
    const { ClientConnection } = require("../../dist/lib/wire/client.js");
    const { request } = ClientConnection.prototype;
    ClientConnection.prototype.request = function (type, ...rest) {
      if (type !== "handoverTaken") return request.call(this, type, ...rest);
      serve.emit("ready", null);
      return new Promise(() => {});
    };
    void Owner.takeOver({ socket });
  },
  /** The same, but it stops when it has everything, and says so when it goes on. */
  takeOverAndStop(options) {
    const { ClientConnection } = require("../../dist/lib/wire/client.js");
    const { request } = ClientConnection.prototype;
    ClientConnection.prototype.request = async function (type, ...rest) {
      if (type === "handoverTaken") {
        await new Promise((sent) => process.send({ event: "ready", value: null }, sent));
        process.kill(process.pid, "SIGSTOP");
      }
      return request.call(this, type, ...rest);
    };
    return Owner.takeOver(options).then(adopt);
  },
  /** In good order, whatever is under way. */
  exit: () => process.exit(0),
  recovering: () => owner.recovering,
  whenRecovered: async () => (await owner.whenRecovered()).restored.length,
  pretendUid(uid) {
    process.getuid = () => uid;
  },
  /** `placement`: devices by the tensors' names, where it is not one for all. */
  async load(name, source, { placement, ...options } = {}) {
    const device = placement === undefined ? options.device : (tensor) => placement[tensor.name];
    return facts(await owner.load(name, source, { ...options, device }));
  },
  /** The same with so many bytes of this process's own. */
  async loadBlock(name, bytes, options) {
    return facts(await owner.load(name, { block: new Uint8Array(bytes).fill(1) }, options));
  },
  /** Tells of the load's progress, so that the test can do something in the middle of it. */
  async loadTellingProgress(name, source, options) {
    const onProgress = (progress) => serve.emit("progress", progress);
    return facts(await owner.load(name, source, { ...options, onProgress }));
  },
  /** Aborts at the first progress. */
  async abortedLoad(name, source, options) {
    const controller = new AbortController();
    const onProgress = () => controller.abort(Object.assign(new Error("enough"), { code: "ENOUGH" }));
    await owner.load(name, source, { ...options, onProgress, signal: controller.signal });
  },
  version: (id) => facts(find(id)),
  versions: () => owner.versions().map(facts),
  waitForRefCount: (id, count) => find(id).waitForRefCount((now) => now === count),
  waitForFreed: (id) => find(id)?.whenFreed(),
  /** Settles when so many wait for some lock. */
  waitForWaiting: (count) =>
    inspect.watchFor(
      () => owner.locks()[0]?.waiting,
      (seen) => seen === count,
    ),
  rollback: async (name, id) => facts(await owner.rollback(name, id)),
  retire: (name) => owner.retire(name),
  close: (options) => owner.close(options),
  driverIsUp: () => native.driverIsUp(),
  loadersGone,
  openFds: () => inspect.openFds(),
  /** What a process finds that this one starts. */
  async grandchild() {
    const program = `
      const { readdirSync, readlinkSync } = require("node:fs");
      const link = (fd) => { try { return readlinkSync("/proc/self/fd/" + fd) } catch { return "" } };
      const fds = readdirSync("/proc/self/fd").map(link);
      console.log(JSON.stringify({ env: Object.keys(process.env), fds }));`;
    return JSON.parse(execFileSync(process.execPath, ["-e", program], { encoding: "utf8" }));
  },
  setEnv(name, value) {
    process.env[name] = value;
  },
  memory: (device = 0) => native.memoryInfo(device),
  /** Closes the owner; what is left then. */
  async settle() {
    await owner?.close();
    owner = undefined;
    return inspect.leftovers(fdsBefore);
  },
});
