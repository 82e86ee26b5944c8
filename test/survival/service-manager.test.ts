// An owner that stores its memory with a service manager, and finds it there when it is started again.
import { openSync, rmSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { writeSafetensors } from "../../dist/lib/index.js";
import { native } from "../../dist/lib/native.js";
import { expectMemoryBack, expectMemoryUsed, freeMemory } from "../helpers/memory.js";
import { startManager, startService } from "../helpers/service.js";
import { folder, MIB, someTensors } from "../helpers/sharing.js";
import { kill, startHolder } from "../helpers/survival.js";
import { newSocket } from "../helpers/temporary.js";

test.each([{ abstract: false }, { abstract: true }])(
  "owner and all workers killed: the next owner is whole without the file (abstract: $abstract)",
  async (kind) => {
    const file = path.join(folder, "gone.safetensors");
    const { floats, bytes } = someTensors();
    await writeSafetensors(file, [
      { name: "floats", dtype: "F32", shape: [floats.length], data: floats },
      { name: "raw", dtype: "U8", shape: [bytes.length], data: bytes },
    ]);
    const manager = await startManager(kind);
    const socket = newSocket(folder);
    const first = await startService(manager, socket);
    const version = await first.load("set", file);
    rmSync(file);
    const { worker, key } = await startHolder("set", { socket });
    const hashes = await worker.call("hashes", key);
    await manager.holding(2);
    expect(manager.has({ READY: "1", STATUS: `Listening on ${socket}.` })).toBe(true);
    await Promise.all([kill(worker), kill(first.child)]);

    const second = await startService(manager, socket);
    expect(await second.child.call("whenRecovered")).toBe(1);
    expect(await second.child.call("versions")).toMatchObject([
      { id: version.id, number: 1, checksum: version.checksum, refCount: 0, presence: "present" },
    ]);
    expect(await second.child.call("driverIsUp")).toBe(false);
    const { worker: late, key: own } = await startHolder("set", { socket, checksum: version.checksum });
    expect(await late.call("hashes", own)).toEqual(hashes);
    expect(await late.call("computeChecksum", own)).toBe(version.checksum);
    await late.call("release", own);

    // It is in store still, for the next time.
    await kill(second.child);
    const third = await startService(manager, socket);
    expect(await third.child.call("whenRecovered")).toBe(1);
    expect(await third.child.call("version", version.id)).toMatchObject({ presence: "present" });
  },
);

test("a version that is freed is removed from the store, and reads as released until it is", async () => {
  const manager = await startManager();
  const socket = newSocket(folder);
  const before = await freeMemory();
  const owner = await startService(manager, socket);
  const first = await owner.load("set", { block: new Uint8Array(8 * MIB) });
  const names = await manager.holding(2);
  await manager.order("pause");
  const { child } = owner;
  await child.call("retire", "set");
  expect(await child.call("version", first.id)).toMatchObject({ state: "released" });
  await expectMemoryUsed(before, 8 * MIB);
  expect(manager.stored).toEqual(names);
  const freed = child.call("waitForFreed", first.id);
  await manager.order("resume");
  await freed;
  expect(await manager.look()).toEqual([]);
  for (const FDNAME of names) expect(manager.has({ FDSTOREREMOVE: "1", FDNAME })).toBe(true);
  expect(manager.has({ BARRIER: "1" })).toBe(true);
  await expectMemoryBack(before);
});

test("what is superseded and let go of goes, what is current stays", async () => {
  const manager = await startManager();
  const socket = newSocket(folder);
  const owner = await startService(manager, socket);
  const first = await owner.load("set", someTensors(1));
  const { worker, key } = await startHolder("set", { socket });
  const second = await owner.load("set", someTensors(2));
  await manager.holding(4);
  const freed = owner.child.call("waitForFreed", first.id);
  await worker.call("release", key);
  await freed;
  expect(await manager.look()).toHaveLength(2);
  await kill(owner.child);
  const next = await startService(manager, socket);
  await next.child.call("whenRecovered");
  expect(await next.child.call("versions")).toMatchObject([{ id: second.id, number: 2 }]);
});

test("close lets go of everything and says so; nothing comes back", async () => {
  const manager = await startManager();
  const socket = newSocket(folder);
  const before = await freeMemory();
  const owner = await startService(manager, socket);
  await owner.load("set", someTensors());
  const { worker, key } = await startHolder("set", { socket });
  await manager.holding(2);
  await manager.order("pause");
  let closed = false;
  const closing = owner.child.call("close").then(() => {
    closed = true;
  });
  await worker.event("ownerlost");
  for (let turn = 0; turn < 10; turn++) await owner.child.call("openFds");
  expect(closed).toBe(false);
  await manager.order("resume");
  await closing;
  expect(await manager.look()).toEqual([]);
  expect(manager.has({ STOPPING: "1" })).toBe(true);
  await worker.call("release", key);
  // Its context takes memory, too.
  await worker.finish();
  await expectMemoryBack(before);
  await owner.child.finish();
  const next = await startService(manager, socket);
  expect(await next.child.call("versions")).toEqual([]);
});

test("close for a restart leaves it there: the same version, the same leases", async () => {
  const manager = await startManager();
  const socket = newSocket(folder);
  const owner = await startService(manager, socket);
  const version = await owner.load("set", someTensors());
  const { worker, key } = await startHolder("set", { socket });
  await owner.child.call("close", { restart: true });
  expect(await owner.child.finish()).toBe(0);
  expect(await manager.look()).toHaveLength(2);
  const next = await startService(manager, socket);
  expect(await worker.event("ownerfound")).toMatchObject({ detail: { kept: true } });
  await next.child.call("whenRecovered");
  expect(await next.child.call("versions")).toMatchObject([{ id: version.id, refCount: 1 }]);
  expect(await worker.call("refCount", key)).toEqual({ count: 1, exact: true });
  await worker.call("release", key);
});

test("what does not fit into the store is told, and stored when there is room", async () => {
  const manager = await startManager({ limit: 3 });
  const socket = newSocket(folder);
  const owner = await startService(manager, socket);
  await owner.load("a", someTensors(1));
  const other = await owner.load("b", someTensors(2));
  expect(await owner.child.event("error")).toBe("ERR_CUDA_IPC_STORE_FULL");
  const [oldest] = await manager.holding(2);
  await owner.child.call("retire", "a");
  await manager.until(({ stored }) => stored.length === 2 && !stored.includes(oldest!));
  await kill(owner.child);
  const next = await startService(manager, socket);
  await next.child.call("whenRecovered");
  expect(await next.child.call("versions")).toMatchObject([{ id: other.id, presence: "present" }]);
});

test("memory of the wrong content under a right name is refused, removed, and lost", async () => {
  const manager = await startManager();
  const socket = newSocket(folder);
  const owner = await startService(manager, socket);
  await owner.load("set", someTensors(1));
  await owner.load("other", someTensors(2));
  // Each has the other's slab.
  const names = await manager.holding(4);
  const slabs = names.filter((name) => name.includes(".slab."));
  await kill(owner.child);
  await manager.order("swap", { names: slabs });
  const next = await startService(manager, socket);
  expect(await next.child.event("refusedoffer")).toBe("ERR_CUDA_IPC_OFFER_REFUSED");
  expect(await next.child.event("refusedoffer")).toBe("ERR_CUDA_IPC_OFFER_REFUSED");
  expect(await next.child.call("whenRecovered")).toBe(0);
  expect(await next.child.call("versions")).toEqual([]);
  await manager.holding(0);
});

test("what the journal does not name is refused and removed; what somebody else has stored is left alone", async () => {
  const manager = await startManager();
  const socket = newSocket(folder);
  const owner = await startService(manager, socket);
  const version = await owner.load("set", someTensors());
  const [name] = await manager.holding(2);
  await kill(owner.child);
  const file = native.adoptFd(openSync("/dev/zero", "r"));
  const memory = native.createSealedMemfd("of another program", Buffer.from("something"));
  const unknown = name!.replace(/[0-9a-f]{32}$/, "0123456789abcdef0123456789abcdef");
  await manager.put(unknown, file);
  await manager.put("theirs", memory);
  file.close();
  memory.close();
  const next = await startService(manager, socket);
  expect(await next.child.event("refusedoffer")).toBe("ERR_CUDA_IPC_OFFER_REFUSED");
  expect(await next.child.call("whenRecovered")).toBe(1);
  expect(await next.child.call("version", version.id)).toMatchObject({ presence: "present" });
  await manager.until(({ stored }) => !stored.includes(unknown));
  expect(manager.stored).toContain("theirs");
  expect(await next.child.call("openFds")).toHaveProperty(["/memfd:of another program (deleted)"], 1);
  await next.child.call("close");
  await manager.until(({ stored }) => stored.length === 1);
});

test("what was stored for another path is removed, unless somebody begins there in time", async () => {
  const manager = await startManager();
  const [before, after] = [newSocket(folder), newSocket(folder)];
  const free = await freeMemory();
  const first = await startService(manager, before);
  const version = await first.load("set", { block: new Uint8Array(8 * MIB) });
  const names = await manager.holding(2);
  await kill(first.child);

  const second = await startService(manager, after);
  await second.child.call("listen", { socket: before });
  expect(await second.child.call("whenRecovered")).toBe(1);
  expect(await second.child.call("versions")).toMatchObject([{ id: version.id, presence: "present" }]);
  await kill(second.child);
  expect(await manager.look()).toEqual(names);

  const third = await startService(manager, after, { recoveryDeadline: 100 });
  await manager.holding(0);
  for (const name of names) {
    expect(manager.has({ FDSTOREREMOVE: "1", FDNAME: name })).toBe(true);
    expect(await third.child.event("refusedoffer")).toBe("ERR_CUDA_IPC_OFFER_REFUSED");
  }
  await expectMemoryBack(free);
  await third.load("set", someTensors());
  await manager.holding(2);
});

test("half a version is no version", async () => {
  const manager = await startManager();
  const socket = newSocket(folder);
  const owner = await startService(manager, socket);
  await owner.load("set", someTensors());
  const [name] = await manager.holding(2);
  await kill(owner.child);
  await manager.order("clear", { name });
  const next = await startService(manager, socket);
  expect(await next.child.call("whenRecovered")).toBe(0);
  expect(await next.child.event("lost")).toBeDefined();
  await manager.holding(0);
});

test("what was passed to another process is not this one's", async () => {
  const manager = await startManager();
  const socket = newSocket(folder);
  const owner = await startService(manager, socket);
  await owner.load("set", someTensors());
  await manager.holding(2);
  await kill(owner.child);
  const next = await startService(manager, socket, {}, { LISTEN_PID: String(process.pid) });
  expect(await next.child.call("whenRecovered")).toBe(0);
  expect(await next.child.event("lost")).toBeDefined();
});

test("children of a service inherit nothing of it", async () => {
  const manager = await startManager();
  const socket = newSocket(folder);
  const owner = await startService(manager, socket);
  await owner.load("set", someTensors());
  await manager.holding(2);
  await kill(owner.child);
  const next = await startService(manager, socket);
  const { env, fds } = await next.child.call<{ env: string[]; fds: string[] }>("grandchild");
  expect(env.filter((name) => name.startsWith("LISTEN_"))).toEqual([]);
  expect(fds.filter((link) => link.includes("memfd"))).toEqual([]);
});

test.each([
  { what: "not asked for", options: { serviceManager: false }, env: {} },
  { what: "a child of the service", options: {}, env: { SYSTEMD_EXEC_PID: "1" } },
  { what: "a service without a store", options: {}, env: { FDSTORE: undefined } },
])("nothing is stored and nothing told: $what", async ({ options, env }) => {
  const manager = await startManager();
  const owner = await startService(manager, newSocket(folder), options, env);
  const version = await owner.load("set", someTensors());
  await owner.child.call("retire", "set");
  await owner.child.call("waitForFreed", version.id);
  await owner.child.call("close");
  await manager.look();
  expect(manager.messages).toEqual([]);
});
