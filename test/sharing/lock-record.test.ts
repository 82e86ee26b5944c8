import { expect, test } from "vitest";
import { recordLocks } from "../../dist/lib/sharing/lock-record.js";
import { adoptState, exportState, newOwnerParts } from "../../dist/lib/sharing/owner-state.js";
import { StoredState } from "../../dist/lib/sharing/stored-state.js";
import type { StateChange } from "../../dist/lib/wire/changes.js";

const process = (n: number) => ({
  ...{ key: `p${n}`, pid: n, startTime: String(n), uid: 0, command: "node", proven: true },
});
const id = (n: number) => n.toString(16).padStart(32, "0");
const ask = (n: number) => ({
  ...{ lock: id(n), lease: id(n + 100), set: "llm", name: "counter", process: process(n), connection: n },
  wait: true,
});

test("what the log holds and what is exported make the same locks, held by the same processes", () => {
  const parts = newOwnerParts(undefined);
  const changes: StateChange[] = [];
  parts.log.subscribe((more) => changes.push(...more));
  const record = recordLocks(parts.log);
  record(parts.locks.acquire(ask(1), 5));
  record(parts.locks.acquire(ask(2), 6));
  record(parts.locks.processExited("p1", 7));
  for (const state of [StoredState.of(changes), exportState(parts)]) {
    const { locks, ledger } = adoptState(state, { awaitUntil: 100 });
    expect(locks.list()).toEqual([{ ...parts.locks.snapshot().locks[0]!, waiting: 0 }]);
    expect(locks.holder({ set: "llm", name: "counter" })).toMatchObject({ lock: id(2), process: process(2) });
    // No lease is awaited, so the recovery is over before it has begun.
    expect([ledger.recovering, locks.recovering]).toEqual([false, false]);
  }
});

test("locks are not granted while leases are awaited", () => {
  const parts = newOwnerParts(undefined);
  parts.ledger.addVersion({ id: id(9), set: "llm", sharing: "vmm" });
  parts.ledger.publish(id(9));
  parts.ledger.connectionOpened(1, process(1));
  parts.ledger.grant({ lease: id(1), version: id(9), connection: 1 }, 1);
  const state = new StoredState();
  const { processes, leases } = parts.ledger.snapshot();
  for (const known of processes) state.apply({ op: "process", process: known });
  state.versions.set(id(9), {
    ...{ id: id(9), set: "llm", number: 1, sharing: "vmm", writable: true, checksum: id(3), manifest: id(4) },
    ...{ tensors: 0, slabs: [], source: "memory", loadedAt: 0 },
    ...{ state: "current", pinned: false, handedBack: false, keepers: new Map() },
  });
  for (const lease of leases) state.apply({ op: "leaseGranted", ...lease });
  const { locks, ledger } = adoptState(state, { awaitUntil: 100 });
  expect([ledger.recovering, locks.recovering]).toEqual([true, true]);
});
