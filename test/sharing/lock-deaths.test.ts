import { expect, test } from "vitest";
import { startChild } from "../helpers/child.js";
import { coded } from "../helpers/errors.js";
import { inspect } from "../helpers/inspect.js";
import { holders, queueFor, startLocker, startWritable, stateOf, waiting } from "../helpers/locks.js";

test("the lock of a process that is killed passes on when it is dead, and not before", async () => {
  const owner = await startWritable();
  const [a, b, c] = [await startLocker(owner), await startLocker(owner), await startLocker(owner)];
  await a.call("lock", "held", "counter");
  const second = await queueFor(owner, b, "second", 1);
  const third = await queueFor(owner, c, "third", 2);
  a.kill("SIGKILL");
  await second.granted;
  expect(["Z", "X", "gone"]).toContain(stateOf(a.pid));
  // One that is killed while it waits is passed over.
  b.kill("SIGKILL");
  await third.granted;
  expect(holders(owner)).toEqual([c.pid]);
});

test("the lock of a process that is stopped stays its own", async () => {
  const owner = await startWritable();
  const [a, b] = [await startLocker(owner), await startLocker(owner)];
  await a.call("lock", "held", "counter");
  const { granted } = await queueFor(owner, b, "next", 1);
  a.stop();
  await inspect.watchFor(
    () => stateOf(a.pid),
    (state) => state === "T",
  );
  const more = b.call("lock", "tried", "counter", { timeout: 200 });
  await expect(more).rejects.toThrow(coded("LOCK_TIMEOUT"));
  expect(owner.locks()).toMatchObject([{ pid: a.pid, waiting: 1 }]);
  a.resume();
  await a.call("unlock", "held");
  await granted;
});

test("end-of-file alone passes nothing on: the process resumes its lock, or dies", async () => {
  const owner = await startWritable();
  const b = await startLocker(owner);
  const raw = startChild("locker.cjs");
  await raw.call("warmUp");
  const lease = "a".repeat(32);
  const locks = ["b".repeat(32), "c".repeat(32)];
  await raw.call("rawLock", { socket: owner.socket, set: "llm", name: "counter", lease, lock: locks[0] });
  const { granted } = await queueFor(owner, b, "next", 1);
  await raw.call("rawClose");
  // The lease is gone with the connection, the lock is not.
  await owner.current("llm")!.waitForRefCount((count) => count === 1);
  expect(owner.locks()).toMatchObject([{ pid: raw.pid, waiting: 1 }]);
  expect(await raw.call("rawRelock", locks, owner.socket)).toEqual([locks[0]]);
  await raw.call("rawClose");
  expect(owner.locks()).toMatchObject([{ pid: raw.pid, waiting: 1 }]);
  raw.kill("SIGKILL");
  await granted;
});

test("who waits on a connection that closes waits no longer", async () => {
  const owner = await startWritable();
  const a = await startLocker(owner);
  await a.call("lock", "held", "counter");
  const raw = startChild("locker.cjs");
  await raw.call("warmUp");
  const asked = { socket: owner.socket, set: "llm", name: "counter" };
  const waits = raw.call("rawLock", { ...asked, lease: "a".repeat(32), lock: "b".repeat(32) });
  waits.catch(() => {});
  await waiting(owner, 1);
  await raw.call("rawClose");
  await waiting(owner, 0);
  await expect(waits).rejects.toThrow(coded("CONNECTION_LOST"));
  await a.call("unlock", "held");
  expect(owner.locks()).toEqual([]);
});

test("only the process that holds or waits for a lock can release it", async () => {
  const owner = await startWritable();
  const [a, raw] = [await startLocker(owner), startChild("locker.cjs")];
  await raw.call("warmUp");
  const lock = "b".repeat(32);
  const asked = { socket: owner.socket, set: "llm", name: "counter", lease: "a".repeat(32), lock };
  await raw.call("rawLock", asked);
  const other = startChild("locker.cjs");
  await other.call("warmUp");
  const mine = { ...asked, name: "other", lease: "d".repeat(32), lock: "e".repeat(32) };
  await other.call("rawLock", mine);
  await expect(other.call("rawUnlock", [lock])).rejects.toThrow(coded("LOCK_FOREIGN"));
  await expect(other.call("rawLock", { ...mine, lease: "f".repeat(32), lock })).rejects.toThrow(
    coded("LOCK_EXISTS"),
  );
  await expect(other.call("rawLock", { ...mine, lease: asked.lease })).rejects.toThrow(coded("LEASE_EXISTS"));
  const { granted } = await queueFor(owner, a, "next", 1);
  expect(await raw.call("rawUnlock", [lock])).toBe(1);
  expect(await raw.call("rawUnlock", [lock])).toBe(0);
  await granted;
});

test("a connection that breaks costs neither the holder its lock nor those who wait their wait", async () => {
  const owner = await startWritable();
  const [a, b] = [await startLocker(owner), await startLocker(owner)];
  await a.call("lock", "held", "counter");
  const { granted } = await queueFor(owner, b, "next", 1, { timeout: 60_000 });
  await a.call("breakConnection");
  await b.call("breakConnection");
  // Its client asks again by itself.
  await b.event("ownerlost");
  await waiting(owner, 0);
  await waiting(owner, 1);
  expect(holders(owner)).toEqual([a.pid]);
  expect(await a.call("facts", "held")).toEqual({ held: true, lost: false });
  await a.call("unlock", "held");
  await granted;
  expect(holders(owner)).toEqual([b.pid]);
});

test("a lock that is released while the connection is broken is given back when it is whole again", async () => {
  const owner = await startWritable();
  const [a, b] = [await startLocker(owner), await startLocker(owner)];
  await a.call("lock", "held", "counter");
  const { granted } = await queueFor(owner, b, "next", 1);
  await Promise.all([a.call("breakConnection"), a.call("unlock", "held", { after: null })]);
  await granted;
});

test("an owner that says nothing does not make a wait with a timeout endless", async () => {
  const owner = startChild("owner.cjs");
  const { socket } = await startWritable();
  const other = `${socket}.child`;
  await owner.call("listen", { socket: other });
  await owner.call("load", "llm", { counter: new Uint32Array(1) }, { writable: true });
  const a = startChild("locker.cjs");
  await a.call("warmUp");
  await a.call("attach", "llm", { socket: other });
  owner.stop();
  await expect(a.call("lock", "never", "counter", { timeout: 0 })).rejects.toThrow(coded("LOCK_TIMEOUT"));
  owner.resume();
  // It was granted meanwhile, and given back: the same lock can be had again.
  await a.call("lock", "again", "counter");
});
