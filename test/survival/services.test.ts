// Owners as services beside each other: standbys, hand-over, sockets that the service manager has bound.
import { existsSync, mkdirSync, statSync, unlinkSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { Owner } from "../../dist/lib/index.js";
import { startChild } from "../helpers/child.js";
import { coded } from "../helpers/errors.js";
import { type Manager, startManager, startService } from "../helpers/service.js";
import { folder, someTensors, startWorker } from "../helpers/sharing.js";
import { kill, startHolder, startSuccessor } from "../helpers/survival.js";
import { newSocket } from "../helpers/temporary.js";

/** A standby as a service; it emits "takenover". */
async function startStandby(manager: Manager, socket: string, options: object = {}) {
  const child = startChild("owner.cjs", manager.env, manager.through);
  await child.call("standby", { socket, ...options });
  return child;
}

test("a standby that takes over stores what it has; the one that comes back empties its store", async () => {
  const [one, two] = await Promise.all([startManager(), startManager()]);
  const socket = newSocket(folder);
  const first = await startService(one, socket);
  const version = await first.load("set", someTensors());
  await one.holding(2);
  const second = await startStandby(two, socket);
  await two.until((manager) =>
    manager.has({ READY: "1", STATUS: `Standing by for the owner on ${socket}.` }),
  );
  expect(two.stored).toEqual([]);
  await kill(first.child);
  await second.event("takenover");
  await two.holding(2);

  const again = await startStandby(one, socket);
  await one.holding(0);
  // Nobody is left but the store of the one that was the owner.
  await Promise.all([kill(second), kill(again)]);
  const third = await startService(two, socket);
  expect(await third.child.call("whenRecovered")).toBe(1);
  expect(await third.child.call("versions")).toMatchObject([
    { id: version.id, checksum: version.checksum, presence: "present" },
  ]);
});

test("all killed, and the one that was the standby is back first: it gets what the other one has in store", async () => {
  const [one, two] = await Promise.all([startManager(), startManager()]);
  const socket = newSocket(folder);
  const first = await startService(one, socket);
  const version = await first.load("set", someTensors());
  await one.holding(2);
  const second = await startStandby(two, socket);
  await Promise.all([kill(first.child), kill(second)]);
  expect([await one.look(), await two.look()]).toMatchObject([{ length: 2 }, { length: 0 }]);

  const owner = await startService(two, socket);
  const standby = await startStandby(one, socket);
  expect(await owner.child.call("whenRecovered")).toBe(1);
  expect(await owner.child.call("versions")).toMatchObject([
    { id: version.id, checksum: version.checksum, presence: "present" },
  ]);
  // Each has what is its own to have: the owner the memory in store, the other one a mirror.
  await Promise.all([one.holding(0), two.holding(2)]);
  await kill(owner.child);
  await standby.event("takenover");
  expect(await standby.call("version", version.id)).toMatchObject({ presence: "present" });
});

test("what another service may have in store reads as released, for a time", async () => {
  const manager = await startManager();
  const socket = newSocket(folder);
  const first = await startService(manager, socket);
  const version = await first.load("set", someTensors());
  await manager.holding(2);
  const standby = startChild("owner.cjs");
  await standby.call("standby", { socket, recoveryDeadline: 1000 });
  await kill(first.child);
  await standby.event("takenover");
  await standby.call("whenRecovered");
  await standby.call("retire", "set");
  expect(await standby.call("version", version.id)).toMatchObject({ state: "released" });
  await standby.call("waitForFreed", version.id);
});

test("workers and the store give the same memory back: it is taken once, and stays stored", async () => {
  const manager = await startManager();
  const socket = newSocket(folder);
  const first = await startService(manager, socket);
  const version = await first.load("set", someTensors());
  await manager.holding(2);
  const holders = await Promise.all([1, 2, 3].map(() => startHolder("set", { socket })));
  await kill(first.child);
  const second = await startService(manager, socket);
  for (const { worker } of holders) {
    expect(await worker.event("ownerfound")).toMatchObject({ detail: { kept: true } });
  }
  expect(await second.child.call("whenRecovered")).toBe(1);
  expect(await second.child.call("versions")).toMatchObject([{ id: version.id, refCount: 3 }]);
  await Promise.all([...holders.map(({ worker }) => kill(worker)), kill(second.child)]);
  expect(await manager.look()).toHaveLength(2);
  const third = await startService(manager, socket);
  expect(await third.child.call("whenRecovered")).toBe(1);
});

test.each(["the same", "another"])("a hand-over, to a process of %s service", async (which) => {
  const one = await startManager();
  const two = which === "another" ? await startManager() : one;
  const socket = newSocket(folder);
  const first = await startService(one, socket);
  const version = await first.load("set", someTensors());
  await one.holding(2);
  const { worker, key } = await startHolder("set", { socket });
  const second = startChild("owner.cjs", two.env, two.through);
  await second.call("takeOver", { socket });
  await first.child.event("handedover");
  await two.holding(2);
  expect(await two.look()).toHaveLength(2);
  if (which === "another") expect(one.stored).toEqual([]);
  await kill(first.child);
  await worker.call("release", key);
  await second.call("retire", "set");
  await second.call("waitForFreed", version.id);
  expect(await two.look()).toEqual([]);
});

test("a service manager that is busy keeps nobody waiting", async () => {
  const manager = await startManager({ limit: 64 });
  const socket = newSocket(folder);
  const owner = await startService(manager, socket);
  await manager.order("pause");
  // More messages than a datagram socket takes unread, by default.
  const sets = Array.from({ length: 12 }, (_, n) => `set ${n}`);
  for (const [n, set] of sets.entries()) await owner.load(set, someTensors(n));
  const { worker, key } = await startHolder("set 11", { socket });
  await worker.call("release", key);
  await manager.order("resume");
  await manager.holding(24);
});

test.each([{ store: true }, { store: false }])(
  "a socket that it has bound is taken over and left in its place (a store: $store)",
  async ({ store }) => {
    const manager = await startManager();
    const socket = newSocket(folder);
    mkdirSync(path.dirname(socket), { mode: 0o700 });
    await manager.order("listen", { path: socket, name: "cuda-ipc.socket" });
    const { ino } = statSync(socket);
    const env = store ? {} : { NOTIFY_SOCKET: undefined, FDSTORE: undefined };
    const first = await startService(manager, socket, {}, env);
    await first.load("set", someTensors());
    const { worker, key } = await startHolder("set", { socket });
    await worker.call("release", key);
    await first.child.call("close");
    await first.child.finish();
    expect(statSync(socket).ino).toBe(ino);

    // Who connects meanwhile waits for the next one.
    const late = await startWorker();
    const attaching = late.call("attach", "set", { socket });
    const refused = expect(attaching).rejects.toMatchObject({ code: "ERR_CUDA_IPC_NO_SET" });
    await late.event("connected");
    const second = await startService(manager, socket, {}, env);
    await refused;
    await second.load("set", someTensors());
    const again = await late.call<number>("attach", "set", { socket });
    await late.call("release", again);
  },
);

test("a socket of another path is left alone; one that nobody reaches any more is made anew", async () => {
  const manager = await startManager();
  const elsewhere = path.join(folder, "elsewhere.sock");
  await manager.order("listen", { path: elsewhere, name: "other.socket" });
  const socket = newSocket(folder);
  mkdirSync(path.dirname(socket), { mode: 0o700 });
  await manager.order("listen", { path: socket, name: "cuda-ipc.socket" });
  // An owner that is no service replaces it, and dies.
  const stranger = startChild("owner.cjs");
  unlinkSync(socket);
  await stranger.call("listen", { socket });
  await kill(stranger);

  const owner = await startService(manager, socket);
  await owner.load("set", someTensors());
  const { worker, key } = await startHolder("set", { socket });
  await worker.call("release", key);
  await owner.child.call("close");
  expect(existsSync(socket)).toBe(false);
  expect(existsSync(elsewhere)).toBe(true);
});

test("an owner that is no service says what it was asked for in vain", async () => {
  const socket = newSocket(folder);
  await expect(Owner.listen({ socket, serviceManager: true })).rejects.toEqual(coded("SERVICE_MANAGER"));
  await expect(Owner.listen({ socket, serviceManager: "yes" as "auto" })).rejects.toEqual(
    coded("INVALID_ARGUMENT"),
  );
  const vsock = startChild("owner.cjs", { NOTIFY_SOCKET: "vsock:2:1234", FDSTORE: "8" });
  await expect(vsock.call("listen", { socket, serviceManager: true })).rejects.toEqual(
    coded("SERVICE_MANAGER"),
  );
  await vsock.call("listen", { socket });
  expect(await vsock.event("error")).toBe("ERR_CUDA_IPC_SERVICE_MANAGER");
});

test("a service manager that is gone is told of, and the owner serves on", async () => {
  const manager = await startManager();
  const socket = newSocket(folder);
  const owner = await startService(manager, socket);
  await owner.load("set", someTensors());
  await manager.holding(2);
  await manager.end();
  const version = await owner.load("set", someTensors(2));
  expect(await owner.child.event("error")).toBe("ERR_CUDA_IPC_SERVICE_MANAGER");
  const { worker, key } = await startHolder("set", { socket, version: version.id });
  await worker.call("release", key);
  // And it keeps nothing any more.
  await owner.child.call("retire", "set");
  await owner.child.call("waitForFreed", version.id);
});

test("a close for a restart without a service manager leaves leases to the next owner", async () => {
  const socket = newSocket(folder);
  const first = await Owner.listen({ socket });
  const { id } = await first.load("set", someTensors());
  const { worker, key } = await startHolder("set", { socket });
  await first.close({ restart: true });
  const { owner } = await startSuccessor(socket);
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({ id, refCount: 1, refCountExact: true });
  expect(await worker.event("ownerfound")).toMatchObject({ detail: { kept: true } });
  await worker.call("release", key);
});
