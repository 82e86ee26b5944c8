import { expect, test } from "vitest";
import { attach, Lock, Owner } from "../../dist/lib/index.js";
import { coded } from "../helpers/errors.js";
import { holders, queueFor, startLocker, startWritable, waiting } from "../helpers/locks.js";
import { folder, someTensors, startOwner } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

test("processes that change a plain counter under the lock lose no change", async () => {
  const owner = await startWritable();
  const lockers = await Promise.all([1, 2, 3].map(() => startLocker(owner)));
  await Promise.all(lockers.map((locker) => locker.call("count", "counter", "counter", 40)));
  const weights = await attach("llm", { socket: owner.socket });
  expect(await weights.tensor("counter").toHost()).toEqual(Uint32Array.of(120));
  await weights.release();
  expect(owner.locks()).toEqual([]);
});

test("first come, first served, among processes and within one", async () => {
  const owner = await startWritable();
  const [a, b] = [await startLocker(owner), await startLocker(owner)];
  await a.call("lock", "first", "counter");
  expect(owner.locks()).toMatchObject([{ set: "llm", name: "counter", pid: a.pid, waiting: 0 }]);
  const queue = [
    { child: b, key: "second", ...(await queueFor(owner, b, "second", 1)) },
    // Not re-entrant: the holder's own process waits like any other.
    { child: a, key: "third", ...(await queueFor(owner, a, "third", 2)) },
    { child: b, key: "fourth", ...(await queueFor(owner, b, "fourth", 3)) },
  ];
  let holder = { child: a, key: "first" };
  for (const [n, next] of queue.entries()) {
    await holder.child.call("unlock", holder.key);
    await next.granted;
    expect(owner.locks()).toMatchObject([{ pid: next.child.pid, waiting: queue.length - 1 - n }]);
    holder = next;
  }
});

test("a timeout bounds the waiting and leaves the queue to others", async () => {
  const owner = await startWritable();
  const [a, b] = [await startLocker(owner), await startLocker(owner)];
  await a.call("lock", "held", "counter");
  await expect(b.call("lock", "now", "counter", { timeout: 0 })).rejects.toThrow(coded("LOCK_TIMEOUT"));
  const soon = b.call("lock", "soon", "counter", { timeout: 40 });
  await expect(soon).rejects.toMatchObject({ details: { milliseconds: 40, holder: a.pid } });
  expect(owner.locks()).toMatchObject([{ pid: a.pid, waiting: 0 }]);
  // The holder may hold on however long it had been ready to wait.
  await a.call("unlock", "held");
  await b.call("lock", "short", "counter", { timeout: 30 });
  await expect(a.call("lock", "later", "counter", { timeout: 60 })).rejects.toThrow(coded("LOCK_TIMEOUT"));
  expect(await b.call("facts", "short")).toEqual({ held: true, lost: false });
});

test("an aborted wait is given up, with the caller's reason", async () => {
  const owner = await startWritable();
  const [a, b] = [await startLocker(owner), await startLocker(owner)];
  await a.call("lock", "held", "counter");
  const { granted } = await queueFor(owner, b, "aborted", 1);
  await b.call("abort", "aborted", "ENOUGH");
  await expect(granted).rejects.toMatchObject({ code: "ENOUGH" });
  await waiting(owner, 0);
  await a.call("unlock", "held");
  expect(owner.locks()).toEqual([]);
});

test("weights that are released end their locks and their waiting", async () => {
  const owner = await startWritable();
  const [a, b] = [await startLocker(owner), await startLocker(owner)];
  await a.call("lock", "held", "counter");
  const { granted } = await queueFor(owner, b, "waiting", 1);
  await b.call("detach");
  await expect(granted).rejects.toThrow(coded("RELEASED"));
  await waiting(owner, 0);
  await a.call("detach");
  expect(await a.call("facts", "held")).toEqual({ held: false, lost: false });
  expect(owner.locks()).toEqual([]);
});

test("locks need a writable version, and names and times that are such", async () => {
  const owner = await startOwner();
  await owner.load("fixed", someTensors());
  await owner.load("llm", someTensors(), { writable: true });
  const fixed = await attach("fixed", { socket: owner.socket });
  await expect(fixed.lock("a")).rejects.toThrow(coded("NOT_WRITABLE"));
  await fixed.release();
  // Whoever only reads may keep others from writing meanwhile.
  const weights = await attach("llm", { socket: owner.socket, access: "read" });
  for (const name of ["", "x".repeat(257), 7]) {
    await expect(weights.lock(name as string)).rejects.toThrow(coded("INVALID_ARGUMENT"));
  }
  for (const timeout of [-1, 1.5, Number.NaN, 2 ** 31, "1"]) {
    await expect(weights.lock("a", { timeout: timeout as number })).rejects.toThrow(
      coded("INVALID_ARGUMENT"),
    );
  }
  const aborted = AbortSignal.abort(new Error("before"));
  await expect(weights.lock("a", { signal: aborted })).rejects.toThrow("before");
  const lock = await weights.lock("a");
  expect(lock).toBeInstanceOf(Lock);
  expect(lock).toMatchObject({ name: "a", held: true, lost: false, weights });
  // Another name is another lock.
  const other = await weights.lock("b", { timeout: 0 });
  await Promise.all([lock.release(), lock.release(), other[Symbol.asyncDispose]()]);
  await lock.release({ after: null });
  expect(lock.held).toBe(false);
  await weights.release();
  await expect(weights.lock("a")).rejects.toThrow(coded("RELEASED"));
  expect(owner.locks()).toEqual([]);
});

test("one lock for all versions of a set", async () => {
  const owner = await startWritable();
  const before = await attach("llm", { socket: owner.socket });
  await owner.load("llm", { counter: new Uint32Array(1) }, { writable: true });
  const after = await attach("llm", { socket: owner.socket });
  const lock = await before.lock("counter");
  await expect(after.lock("counter", { timeout: 0 })).rejects.toThrow(coded("LOCK_TIMEOUT"));
  await lock.release();
  await (await after.lock("counter", { timeout: 0 })).release();
  await Promise.all([before.release(), after.release()]);
});

test("the owner's limits hold", async () => {
  const owner = await startWritable({ limits: { locksPerProcess: 2 } });
  const weights = await attach("llm", { socket: owner.socket });
  const locks = [await weights.lock("a"), await weights.lock("b")];
  await expect(weights.lock("c")).rejects.toThrow(coded("LOCK_LIMIT"));
  await locks[0]!.release();
  await (await weights.lock("c")).release();
  await weights.release();
});

test("an owner that closes refuses who waits and waits for who holds", async () => {
  const owner = await Owner.listen({ socket: newSocket(folder) });
  await owner.load("llm", { counter: new Uint32Array(1) }, { writable: true });
  const [a, b] = [await startLocker(owner), await startLocker(owner)];
  await a.call("lock", "held", "counter");
  const { granted } = await queueFor(owner, b, "waiting", 1);
  await expect(owner.close({ locks: "refuse" })).rejects.toThrow(coded("LOCKS_HELD"));
  expect(holders(owner)).toEqual([a.pid]);
  let closed = false;
  const closing = owner.close().then(() => {
    closed = true;
  });
  await expect(granted).rejects.toThrow(coded("CLOSED"));
  await expect(b.call("lock", "new", "counter")).rejects.toThrow(coded("CLOSED"));
  expect(closed).toBe(false);
  await a.call("unlock", "held");
  await closing;
});

test("a lock that is forgotten warns, and stays held until its weights are released", async () => {
  const owner = await startWritable();
  const a = await startLocker(owner);
  await a.call("forgetLock", "counter");
  await a.call("collect");
  expect(await a.event("warning")).toBe("CUDA_IPC_UNRELEASED_LOCK");
  expect(holders(owner)).toEqual([a.pid]);
  await a.call("detach");
  expect(holders(owner)).toEqual([]);
});
