import { describe, expect, test } from "vitest";
import { Ledger, type LedgerLimits } from "../../dist/lib/sharing/ledger.js";

const worker = (n: number, proven = true) => ({
  key: `boot:${n}:77`,
  pid: n,
  startTime: "77",
  uid: 1000,
  command: "node",
  proven,
});
const id = (n: number) => n.toString(16).padStart(32, "0");
const nothing = { ended: [], orphaned: [], freeable: [], freed: [], counts: [], recovered: false };
const coded = (code: string) => expect.objectContaining({ code: `ERR_CUDA_IPC_${code}` });

/** One set with one published version "v1", and connections 1 and 2 of two processes. */
function ready(sharing: "vmm" | "ipc" = "vmm", limits: Partial<LedgerLimits> = {}): Ledger {
  const ledger = new Ledger(limits);
  ledger.addVersion({ id: "v1", set: "llm", sharing });
  ledger.publish("v1");
  ledger.connectionOpened(1, worker(101));
  ledger.connectionOpened(2, worker(102));
  return ledger;
}

describe("leases", () => {
  test("each grant is one reference, reported with its effects and by holder", () => {
    const ledger = ready();
    expect(ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 10)).toEqual({
      ...nothing,
      fresh: true,
      counts: [{ version: "v1", count: 1, exact: true }],
    });
    ledger.grant({ lease: id(2), version: "v1", connection: 1 }, 11);
    ledger.grant({ lease: id(3), version: "v1", connection: 2 }, 12);
    expect(ledger.refCount("v1")).toEqual({ count: 3, exact: true });
    expect(ledger.holders("v1")).toEqual([
      { pid: 101, startTime: "77", uid: 1000, command: "node", leases: 2, since: 10 },
      { pid: 102, startTime: "77", uid: 1000, command: "node", leases: 1, since: 12 },
    ]);
    expect(ledger.lease(id(3))).toMatchObject({ version: "v1", process: worker(102).key, state: "held" });
  });

  test("a second release is harmless and ends nobody else's lease", () => {
    const ledger = ready();
    ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 0);
    ledger.grant({ lease: id(2), version: "v1", connection: 1 }, 0);
    expect(ledger.release([id(1)], 1).ended).toHaveLength(1);
    expect(ledger.release([id(1)], 1)).toEqual(nothing);
    expect(ledger.refCount("v1").count).toBe(1);
  });

  test.each(["vmm", "ipc"] as const)(
    "%s: a farewell ends its connection's leases, and no others",
    (sharing) => {
      const ledger = ready(sharing);
      ledger.connectionOpened(3, worker(101));
      ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 0);
      ledger.grant({ lease: id(2), version: "v1", connection: 1 }, 0);
      ledger.grant({ lease: id(3), version: "v1", connection: 3 }, 0);
      expect(ledger.farewell(1).ended.map(({ lease, reason }) => [lease, reason])).toEqual([
        [id(1), "released"],
        [id(2), "released"],
      ]);
      expect(ledger.farewell(1)).toEqual(nothing);
      expect(ledger.connectionClosed(1, 5)).toEqual(nothing);
      expect(ledger.refCount("v1").count).toBe(1);
      expect(ledger.retire("llm")).toMatchObject({ freeable: [] });
      expect(ledger.release([id(3)], 3)).toMatchObject({ freeable: ["v1"] });
    },
  );

  test("another process's lease is refused, and with it the whole release", () => {
    const ledger = ready();
    ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 0);
    ledger.grant({ lease: id(2), version: "v1", connection: 2 }, 0);
    expect(() => ledger.release([id(2), id(1)], 2)).toThrow(coded("LEASE_FOREIGN"));
    expect(() => ledger.reclaim([id(1)], 2)).toThrow(coded("LEASE_FOREIGN"));
    expect(() => ledger.retain({ lease: id(1), newLease: id(3), connection: 2 }, 0)).toThrow(
      coded("LEASE_FOREIGN"),
    );
    expect(ledger.refCount("v1").count).toBe(2);
  });

  test("a repeated grant is the same lease; the id in other hands is refused", () => {
    const ledger = ready();
    ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 0);
    expect(ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 5)).toEqual({
      ...nothing,
      fresh: false,
    });
    expect(() => ledger.grant({ lease: id(1), version: "v1", connection: 2 }, 5)).toThrow(
      coded("LEASE_EXISTS"),
    );
    ledger.addVersion({ id: "v2", set: "llm", sharing: "vmm" });
    ledger.publish("v2");
    expect(() => ledger.grant({ lease: id(1), version: "v2", connection: 1 }, 5)).toThrow(
      coded("LEASE_EXISTS"),
    );
  });

  test("a grant that is answered after its connection closed is refused", () => {
    const ledger = ready();
    ledger.connectionClosed(1, 0);
    expect(() => ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 0)).toThrow(
      coded("CONNECTION_LOST"),
    );
  });

  test("limits hold for one process and for all", () => {
    const ledger = ready("vmm", { leases: 3, leasesPerProcess: 2 });
    ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 0);
    ledger.grant({ lease: id(2), version: "v1", connection: 1 }, 0);
    expect(() => ledger.grant({ lease: id(3), version: "v1", connection: 1 }, 0)).toThrow(
      expect.objectContaining({
        code: "ERR_CUDA_IPC_LEASE_LIMIT",
        details: { scope: "process", leases: 2, limit: 2 },
      }),
    );
    ledger.grant({ lease: id(3), version: "v1", connection: 2 }, 0);
    expect(() => ledger.grant({ lease: id(4), version: "v1", connection: 2 }, 0)).toThrow(
      expect.objectContaining({
        code: "ERR_CUDA_IPC_LEASE_LIMIT",
        details: { scope: "owner", leases: 3, limit: 3 },
      }),
    );
  });

  test("reconnecting without releasing is no way round the limit", () => {
    const ledger = ready("vmm", { leasesPerProcess: 1 });
    ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 0);
    ledger.connectionClosed(1, 0);
    ledger.connectionOpened(3, worker(101));
    expect(() => ledger.grant({ lease: id(2), version: "v1", connection: 3 }, 0)).toThrow(
      coded("LEASE_LIMIT"),
    );
    ledger.release([id(1)], 3);
    expect(ledger.grant({ lease: id(2), version: "v1", connection: 3 }, 0).fresh).toBe(true);
  });
});

describe("end-of-file and death", () => {
  test("a vmm lease ends at end-of-file and leaves its process as a keeper", () => {
    const ledger = ready();
    ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 0);
    ledger.retire("llm");
    expect(ledger.connectionClosed(1, 5)).toMatchObject({
      ended: [{ lease: id(1), reason: "connection-closed" }],
      freeable: ["v1"],
      freed: [],
    });
    expect(ledger.handedBack("v1").freed).toEqual([]);
    expect(ledger.version("v1")).toMatchObject({ state: "released", keepers: [id(1)] });
    expect(ledger.processExited(worker(101).key).freed).toEqual(["v1"]);
    expect(ledger.version("v1")).toBeUndefined();
  });

  test("an ipc lease is orphaned at end-of-file, counted, and ended by death alone", () => {
    const ledger = ready("ipc");
    ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 0);
    ledger.retire("llm");
    expect(ledger.connectionClosed(1, 5)).toEqual({ ...nothing, orphaned: [id(1)] });
    expect(ledger.refCount("v1").count).toBe(1);
    expect(ledger.processExited(worker(101).key)).toMatchObject({
      ended: [{ reason: "process-exited" }],
      freeable: ["v1"],
    });
    expect(ledger.processExited(worker(101).key)).toEqual(nothing);
  });

  test("an orphaned lease is reclaimed by the same process only", () => {
    const ledger = ready("ipc");
    ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 0);
    ledger.connectionClosed(1, 5);
    expect(() => ledger.reclaim([id(1)], 2)).toThrow(coded("LEASE_FOREIGN"));
    ledger.connectionOpened(3, worker(101));
    expect(ledger.reclaim([id(1), id(9)], 3).kept).toEqual([id(1)]);
    expect(ledger.lease(id(1))!.state).toBe("held");
  });

  test("a process whose death cannot be proven is refused ipc and given vmm", () => {
    const ledger = ready("ipc");
    ledger.addVersion({ id: "v2", set: "other", sharing: "vmm" });
    ledger.publish("v2");
    ledger.connectionOpened(3, worker(103, false));
    expect(() => ledger.grant({ lease: id(1), version: "v1", connection: 3 }, 0)).toThrow(
      coded("PEER_UNPROVEN"),
    );
    expect(ledger.grant({ lease: id(1), version: "v2", connection: 3 }, 0).fresh).toBe(true);
  });

  test("an unproven keeper is given up at its deadline", () => {
    const ledger = ready("vmm", { unprovenGraceMs: 100 });
    ledger.connectionOpened(3, worker(103, false));
    ledger.grant({ lease: id(1), version: "v1", connection: 3 }, 0);
    ledger.retire("llm");
    ledger.connectionClosed(3, 50);
    ledger.handedBack("v1");
    expect(ledger.nextDeadline()).toBe(150);
    expect(ledger.expire(149).freed).toEqual([]);
    expect(ledger.expire(150).freed).toEqual(["v1"]);
    expect(ledger.nextDeadline()).toBeUndefined();
  });

  test("releasing one connection's lease through another of the same process works", () => {
    const ledger = ready();
    ledger.connectionOpened(3, worker(101));
    ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 0);
    expect(ledger.release([id(1)], 3).ended).toHaveLength(1);
    expect(ledger.connectionClosed(1, 0)).toEqual(nothing);
  });
});

describe("versions", () => {
  test("publishing switches the current version; the old one goes at its last lease", () => {
    const ledger = ready();
    ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 0);
    ledger.addVersion({ id: "v2", set: "llm", sharing: "vmm" });
    expect(ledger.current("llm")).toBe("v1");
    expect(ledger.publish("v2")).toEqual({ ...nothing, superseded: "v1" });
    expect(ledger.current("llm")).toBe("v2");
    expect(ledger.connectionsOf({ version: "v1" })).toEqual([1]);
    expect(ledger.release([id(1)], 1).freeable).toEqual(["v1"]);
  });

  test("a pinned version outlives its last lease, until it is unpinned", () => {
    const ledger = ready();
    ledger.pin("v1");
    expect(ledger.retire("llm").freeable).toEqual([]);
    expect(ledger.unpin("v1").freeable).toEqual(["v1"]);
    expect(() => ledger.pin("v1")).toThrow(coded("NO_VERSION"));
  });

  test("a retired set is not handed out, but a holder may retain what it has", () => {
    const ledger = ready();
    ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 0);
    ledger.retire("llm");
    expect(() => ledger.grant({ lease: id(2), version: "v1", connection: 2 }, 0)).toThrow(coded("RETIRED"));
    expect(ledger.retain({ lease: id(1), newLease: id(2), connection: 1 }, 0)).toMatchObject({
      fresh: true,
      version: "v1",
    });
    ledger.release([id(1)], 1);
    expect(ledger.release([id(2)], 1).freeable).toEqual(["v1"]);
  });

  test("a staged version is nobody's until it is published, and can be given up", () => {
    const ledger = ready();
    ledger.addVersion({ id: "v2", set: "llm", sharing: "vmm" });
    expect(() => ledger.grant({ lease: id(1), version: "v2", connection: 1 }, 0)).toThrow(
      coded("NO_VERSION"),
    );
    expect(ledger.discard("v2").freeable).toEqual(["v2"]);
    expect(() => ledger.discard("v1")).toThrow(coded("INVALID_STATE"));
  });

  test("memory is freed when it was handed back and the last named keeper is gone", () => {
    const ledger = ready();
    ledger.addKeeper("v1", "standby", 0);
    ledger.addKeeper("v1", "service-manager", 0);
    expect(() => ledger.handedBack("v1")).toThrow(coded("INVALID_STATE"));
    ledger.retire("llm");
    ledger.handedBack("v1");
    expect(ledger.keeperGone("standby").freed).toEqual([]);
    expect(ledger.keeperGone("service-manager", "v1").freed).toEqual(["v1"]);
  });
});

describe("recovery", () => {
  const restored = () => {
    const ledger = ready();
    ledger.connectionOpened(3, worker(103, false));
    ledger.grant({ lease: id(1), version: "v1", connection: 1 }, 10);
    ledger.grant({ lease: id(2), version: "v1", connection: 2 }, 11);
    ledger.grant({ lease: id(3), version: "v1", connection: 3 }, 12);
    const snapshot = JSON.parse(JSON.stringify(ledger.snapshot()));
    return { snapshot, ledger: Ledger.restore(snapshot, { awaitUntil: 1000 }) };
  };

  test("leases are awaited, the count is a lower bound, and nothing is freed meanwhile", () => {
    const { ledger } = restored();
    expect(ledger.recovering).toBe(true);
    expect(ledger.refCount("v1")).toEqual({ count: 0, exact: false });
    expect(ledger.awaitedProcesses().map(({ pid }) => pid)).toEqual([101, 102, 103]);
    ledger.addVersion({ id: "v2", set: "other", sharing: "vmm" });
    expect(ledger.discard("v2").freeable).toEqual([]);

    ledger.connectionOpened(1, worker(101));
    expect(ledger.reclaim([id(1)], 1)).toMatchObject({
      kept: [id(1)],
      counts: [{ version: "v1", count: 1, exact: false }],
      recovered: false,
    });
    ledger.processExited(worker(102).key);
    expect(ledger.nextDeadline()).toBe(1000);
    expect(ledger.expire(1000)).toMatchObject({
      ended: [{ lease: id(3), reason: "deadline" }],
      recovered: true,
      freeable: ["v2"],
      counts: expect.arrayContaining([{ version: "v1", count: 1, exact: true }]),
    });
    expect(ledger.holders("v1")).toMatchObject([{ pid: 101, leases: 1, since: 10 }]);
  });

  test("a proven process is awaited without a deadline, until it turns out that it cannot be proven", () => {
    const { ledger } = restored();
    ledger.expire(5000);
    expect(ledger.awaitedProcesses().map(({ pid }) => pid)).toEqual([101, 102]);
    expect(ledger.nextDeadline()).toBeUndefined();
    ledger.setProven(worker(101).key, false);
    ledger.processExited(worker(102).key);
    expect(ledger.nextDeadline()).toBe(1000);
    expect(ledger.expire(5000).recovered).toBe(true);
  });

  test("a damaged snapshot is refused", () => {
    const { snapshot } = restored();
    for (const damage of [
      { processes: [] },
      { versions: [] },
      { leases: [...snapshot.leases, snapshot.leases[0]] },
    ]) {
      expect(() => Ledger.restore({ ...snapshot, ...damage }, { awaitUntil: 0 })).toThrow(coded("SNAPSHOT"));
    }
  });
});
