import { expect, test } from "vitest";
import { LockTable } from "../../dist/lib/sharing/lock-table.js";

const process = (n: number) => ({
  key: `p${n}`,
  pid: n,
  startTime: String(n),
  uid: 0,
  command: "node",
  proven: true,
});
const ask = (lock: string, n: number, wait = true) => ({
  lock,
  lease: `lease ${lock}`,
  set: "llm",
  name: "counter",
  process: process(n),
  connection: n,
  wait,
});
const never = { awaitUntil: Number.POSITIVE_INFINITY };
const counter = { set: "llm", name: "counter" };

test("first come, first served, and a second request of the holder waits like any other", () => {
  const table = new LockTable();
  expect(table.acquire(ask("a", 1), 10)).toMatchObject({ held: true, granted: [{ lock: "a", since: 10 }] });
  for (const [lock, n] of [
    ["b", 2],
    ["c", 1],
    ["d", 3],
  ] as const) {
    expect(table.acquire(ask(lock, n), 11)).toEqual({ held: false, granted: [], ended: [], dropped: [] });
  }
  expect(table.waiting(counter)).toEqual(["b", "c", "d"]);
  const order = ["a"];
  for (let now = 20; order.length < 4; now++) {
    const { lock, process } = table.holder(counter)!;
    const { granted } = table.release([lock], process.key, now);
    expect(granted).toMatchObject([{ since: now }]);
    order.push(granted[0]!.lock);
  }
  expect(order).toEqual(["a", "b", "c", "d"]);
  table.release(["d"], "p3", 30);
  expect(table.list()).toEqual([]);
});

test("end-of-file takes a waiter out of the queue and leaves a holder what it has; death passes it on", () => {
  const table = new LockTable();
  table.acquire(ask("a", 1), 1);
  table.acquire(ask("b", 2), 2);
  table.acquire(ask("c", 3), 3);
  expect(table.connectionClosed(1, 4)).toEqual({ ended: [], granted: [], dropped: [] });
  expect(table.connectionClosed(2, 5)).toEqual({ ended: [], granted: [], dropped: ["b"] });
  expect(table.holder(counter)?.lock).toBe("a");
  expect(table.heldBy(["a", "b"], "p1")).toEqual(["a"]);
  expect(table.processExited("p1", 6)).toMatchObject({
    ended: [{ lock: "a", reason: "process-exited" }],
    granted: [{ lock: "c", since: 6 }],
  });
});

test("a dead process's lock does not pass to its own waiting requests", () => {
  const table = new LockTable();
  table.acquire(ask("a", 1), 1);
  table.acquire(ask("b", 1), 2);
  table.acquire(ask("c", 2), 3);
  const { ended, dropped, granted } = table.processExited("p1", 4);
  expect([ended, dropped, granted].map((list) => list.length)).toEqual([1, 1, 1]);
  expect(granted[0]!.lock).toBe("c");
});

test("a successor holds what was held, grants nothing while it recovers, and never doubles", () => {
  const table = new LockTable();
  table.acquire(ask("a", 1), 1);
  table.acquire(ask("b", 2), 2);
  const successor = LockTable.restore(JSON.parse(JSON.stringify(table.snapshot())), never);
  expect(successor.recovering).toBe(true);
  expect(successor.holder(counter)).toEqual(table.holder(counter));
  // What is free might be held by somebody of whom nothing was written down: not before the recovery's end.
  expect(successor.acquire({ ...ask("x", 3), name: "other" }, 3).held).toBe(false);
  expect(() => successor.acquire({ ...ask("y", 3, false), name: "third" }, 3)).toThrow(/recovering/);
  expect(successor.acquire(ask("b", 2), 3).held).toBe(false);
  expect(successor.acquire(ask("a", 1), 3).held).toBe(true);
  expect(successor.release(["a"], "p1", 4).granted).toEqual([]);
  expect(
    successor
      .recovered(5)
      .granted.map(({ lock }) => lock)
      .sort(),
  ).toEqual(["b", "x"]);
});

/** What process 1 held with the owner before, whose death cannot be proven here. */
function successorUntil(awaitUntil: number) {
  const table = new LockTable();
  table.acquire(ask("a", 1), 1);
  table.acquire({ ...ask("b", 2), name: "proven" }, 1);
  const successor = LockTable.restore(table.snapshot(), { awaitUntil });
  successor.setProven("p1", false);
  successor.acquire(ask("c", 3), 5);
  return successor;
}

test("a holder whose death cannot be proven is awaited for a time, and others for as long as they live", () => {
  const table = successorUntil(100);
  expect(table.nextDeadline()).toBe(100);
  expect(table.expire(99)).toEqual({ ended: [], granted: [], dropped: [] });
  expect(table.expire(100)).toMatchObject({ ended: [{ lock: "a", reason: "deadline" }], granted: [] });
  expect(table.nextDeadline()).toBeUndefined();
  expect(table.recovered(101).granted).toMatchObject([{ lock: "c" }]);
  expect(
    table
      .list()
      .map(({ lock }) => lock)
      .sort(),
  ).toEqual(["b", "c"]);
});

test("a holder that has come back has no deadline, under its own name or as a stranger of its user", () => {
  const own = successorUntil(100);
  expect(own.comeBack(["a", "x"], process(1))).toEqual({ ended: [], granted: [], dropped: [] });
  expect(own.expire(200).ended).toEqual([]);
  expect(own.heldBy(["a"], "p1")).toEqual(["a"]);

  const stranger = successorUntil(100);
  expect(stranger.comeBack(["a"], { ...process(8), uid: 5 }).granted).toEqual([]);
  // Of one that is watched nobody else takes anything up.
  expect(stranger.comeBack(["b"], process(9)).granted).toEqual([]);
  expect(stranger.comeBack(["a"], process(9))).toMatchObject({
    ended: [{ lock: "a", process: { key: "p1" } }],
    granted: [{ lock: "a", process: { key: "p9" }, since: 1 }],
  });
  expect(stranger.nextDeadline()).toBeUndefined();
  // Once only: from here on it is that one's.
  expect(stranger.comeBack(["a"], process(10)).granted).toEqual([]);
  stranger.recovered(101);
  expect(stranger.processExited("p1", 102).ended).toEqual([]);
  expect(stranger.processExited("p9", 103)).toMatchObject({
    ended: [{ lock: "a" }],
    granted: [{ lock: "c" }],
  });
});

test("a damaged snapshot is refused", () => {
  const table = new LockTable();
  table.acquire(ask("a", 1), 1);
  const [held] = table.snapshot().locks;
  const damaged = { format: 1 as const, locks: [held!, { ...held!, lock: "b" }] };
  expect(() => LockTable.restore(damaged, never)).toThrow(
    expect.objectContaining({ code: "ERR_CUDA_IPC_SNAPSHOT" }),
  );
});

test("limits, of a process and of the owner", () => {
  const table = new LockTable({ locks: 3, locksPerProcess: 2 });
  const limit = (scope: string) =>
    expect.objectContaining({ code: "ERR_CUDA_IPC_LOCK_LIMIT", details: expect.objectContaining({ scope }) });
  table.acquire(ask("a", 1), 1);
  table.acquire(ask("b", 1), 1);
  expect(() => table.acquire(ask("c", 1), 1)).toThrow(limit("process"));
  table.acquire(ask("d", 2), 1);
  expect(() => table.acquire(ask("e", 3), 1)).toThrow(limit("owner"));
});
