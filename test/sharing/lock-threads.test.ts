// Named locks of worker threads that end in a process that lives on.
import { expect, test } from "vitest";
import { type Child, startChild } from "../helpers/child.js";
import { holders, queueFor, startLocker, startWritable, waiting } from "../helpers/locks.js";
import { block, MIB, sharings, startOwner } from "../helpers/sharing.js";

async function startThreads(socket: string, count: number): Promise<Child> {
  const child = startChild("threads.cjs");
  await child.call("warmUp");
  for (let n = 0; n < count; n++) await child.call("attach", { socket, access: "readwrite" });
  return child;
}

test.each(["terminate", "exit"])("the lock of a thread that ends by %s passes on", async (end) => {
  const owner = await startWritable();
  const child = await startThreads(owner.socket, 2);
  const other = await startLocker(owner);
  await child.call("lock", 0, "counter");
  await child.call("lock", 1, "another");
  const { granted } = await queueFor(owner, other, "next", 1);
  await child.call(end, 0);
  await granted;
  expect(child.exit).toBeUndefined();
  // What its process holds through other leases is not concerned.
  expect(owner.locks()).toMatchObject([
    { name: "counter", pid: other.pid },
    { name: "another", pid: child.pid },
  ]);
});

test.each(sharings)("%s: not before its work is done and its memory unmapped", async (sharing) => {
  const owner = await startOwner();
  const version = await owner.load("llm", block(32 * MIB), { sharing, writable: true });
  const child = await startThreads(owner.socket, 1);
  const other = await startLocker(owner);
  await child.call("lock", 0, "counter");
  const { granted } = await queueFor(owner, other, "next", 1);
  await child.call("launch", 0, 40);
  const ended = child.call("terminate", 0);
  await granted;
  expect(await child.call("mappings")).toEqual({ mappings: 0, references: 0 });
  expect(version.holders).toMatchObject([{ pid: other.pid, leases: 1 }]);
  await ended;
});

test("a thread that ends while it waits for a lock is granted nothing", async () => {
  const owner = await startWritable();
  const child = await startThreads(owner.socket, 1);
  const holder = await startLocker(owner);
  await holder.call("lock", "held", "counter");
  child.call("lock", 0, "counter").catch(() => {});
  await waiting(owner, 1);
  await child.call("terminate", 0);
  await waiting(owner, 0);
  await holder.call("unlock", "held");
  expect(holders(owner)).toEqual([]);
});

test.each(["rawRelease", "rawFarewell"])(
  "a client's %s ends its locks, and what it waits for",
  async (end) => {
    const owner = await startWritable();
    const client = startChild("locker.cjs");
    await client.call("warmUp");
    const lease = "a".repeat(32);
    const { socket } = owner;
    await client.call("rawLock", { socket, set: "llm", name: "counter", lease, lock: "b".repeat(32) });
    const again = client.call("rawLockMore", { name: "counter", lease, lock: "c".repeat(32) });
    again.catch(() => {});
    await waiting(owner, 1);
    const other = await startLocker(owner);
    const { granted } = await queueFor(owner, other, "next", 2);
    await client.call(end, lease);
    await granted;
    await expect(again).rejects.toMatchObject({ code: "ERR_CUDA_IPC_LOCK_GIVEN_UP" });
    expect(holders(owner)).toEqual([other.pid]);
  },
);
