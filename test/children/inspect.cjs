// What this process has open and mapped: asked before and after, by tests that must leave nothing.
const { readdirSync, readlinkSync } = require("node:fs");
const { disconnect } = require("../../dist/lib/index.js");
const { native } = require("../../dist/lib/native.js");

const MIB = 1 << 20;

/** How many descriptors of each kind are open: "socket", "pipe", "anon_inode:[eventpoll]", a file's path, ... */
function openFds() {
  const kinds = {};
  for (const fd of readdirSync("/proc/self/fd")) {
    let link;
    try {
      link = readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      continue; // the one that listed them
    }
    const kind = link.replace(/:\[\d+\]$/, "");
    kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  return kinds;
}

/** The kinds of which more are open than there were. */
function surplus(before, now = openFds()) {
  return Object.fromEntries(
    Object.entries(now)
      .map(([kind, count]) => [kind, count - (before[kind] ?? 0)])
      .filter(([, more]) => more > 0),
  );
}

/** Brings up once what a process opens or allocates once: the driver, a context, kernels, the epoll thread. */
async function warmUp(device = 0) {
  native.watchProcess(process.pid, undefined, () => {}).close();
  await native.initializeDevice(device);
  const { uuid } = (await native.devices())[device];
  for (const sharing of ["ipc", "vmm"]) {
    const id = Buffer.alloc(16, sharing);
    const slab = await native.createSlab({ id, device, bytes: 2 * MIB, sharing });
    const source = new Uint8Array(4 * MIB).fill(1);
    await native.memset(device, slab.devicePointer, 0, 1, 256);
    await native.load({
      device,
      base: slab.devicePointer,
      sources: [source],
      runs: [{ source: 0, offset: 0, bytes: 2 * MIB, target: 0 }],
    });
    const from = sharing === "vmm" ? { fd: slab.exportFd() } : { handle: slab.handle };
    const mapping = await native.openSlab({ id, uuid, bytes: 2 * MIB, access: "readwrite", ...from });
    await native.checksum(device, mapping.devicePointer, 2 * MIB);
    await native.memcpyDtoH(device, Buffer.alloc(MIB), mapping.devicePointer);
    await mapping.close();
    from.fd?.close();
    await slab.close();
  }
}

/** The sockets of this process that have not been there `before`, by inode: each connection has another one. */
function sockets(before = []) {
  const links = readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
  return links.filter((link) => link.startsWith("socket:") && !before.includes(link)).sort();
}

const atStart = openFds();

/** What a process on the host driver that has not been warmed up may have open: the epoll thread comes to it. */
function openFromStart() {
  const fds = { ...atStart };
  for (const kind of ["anon_inode:[eventpoll]", "anon_inode:[eventfd]"]) fds[kind] = (fds[kind] ?? 0) + 1;
  return fds;
}

/** One turn of the event loop: what other threads have posted is handled in it. */
const turn = () => new Promise(setImmediate);

/** Looks, once in every turn, until `done` says so or the time is up; what it saw last. */
async function watchFor(look, done, milliseconds = 10_000) {
  const deadline = performance.now() + milliseconds;
  for (;;) {
    const seen = await look();
    if (done(seen) || performance.now() > deadline) return seen;
    await turn();
  }
}

/** What is left over in this process, once everything under way has had its time. */
async function leftovers(fdsBefore = process.env.CUDA_IPC_DRIVER === "host" ? openFromStart() : undefined) {
  const look = () => {
    disconnect();
    return { ...native.mappingStatistics(), fds: fdsBefore ? surplus(fdsBefore) : {} };
  };
  return watchFor(
    look,
    ({ mappings, references, fds }) => mappings + references + Object.keys(fds).length === 0,
    5_000,
  );
}

module.exports = { openFds, sockets, surplus, warmUp, watchFor, leftovers };
