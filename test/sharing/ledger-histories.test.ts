import assert from "node:assert/strict";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type Effects,
  Ledger,
  type LedgerSnapshot,
  type VersionView,
} from "../../dist/lib/sharing/ledger.js";
import { StoredState } from "../../dist/lib/sharing/stored-state.js";
import { LedgerModel } from "./ledger-model.js";

const limits = { leases: 6, leasesPerProcess: 4, unprovenGraceMs: 20 };
const awaitFor = 30;
const sets = ["llm", "vision"];
const processes = [0, 1, 2, 3].map((n) => ({
  key: `boot:${n}`,
  pid: 100 + n,
  startTime: String(n),
  uid: n === 0 ? 1001 : 1000,
  command: `worker${n}`,
  proven: n !== 3,
}));

const index = (max: number) => fc.nat({ max });
const leaseIndex = index(7);
const leaseIndexes = fc.array(leaseIndex, { maxLength: 3 });
const step = fc.oneof(
  { weight: 2, arbitrary: fc.record({ op: fc.constant("add" as const), set: index(1), ipc: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("publish" as const), version: index(2) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("retire" as const), set: index(1) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("discard" as const), version: index(2) }) },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant("pin" as const), version: index(2), on: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("handBack" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant("keeper" as const), version: index(2), gone: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("open" as const), process: index(3) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("close" as const), connection: index(3) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("exit" as const), process: index(3) }) },
  {
    weight: 12,
    arbitrary: fc.record({
      op: fc.constant("grant" as const),
      lease: leaseIndex,
      version: index(2),
      connection: index(3),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant("retain" as const),
      lease: leaseIndex,
      newLease: leaseIndex,
      connection: index(3),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant("release" as const),
      leases: leaseIndexes,
      connection: index(3),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant("reclaim" as const),
      leases: leaseIndexes,
      connection: index(3),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("expire" as const), after: index(25) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("restart" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** So that few steps are spent on an empty ledger. */
const opening: Step[] = [
  { op: "add", set: 0, ipc: true },
  { op: "publish", version: 0 },
  { op: "add", set: 1, ipc: false },
  { op: "publish", version: 0 },
  { op: "open", process: 2 },
  { op: "open", process: 3 },
  { op: "open", process: 0 },
  { op: "open", process: 0 },
];

const leaseId = (n: number) => n.toString(16).padStart(32, "0");

/** Both ledgers side by side; every step is applied to both and everything is compared. */
class History {
  ledger = new Ledger(limits);
  model = new LedgerModel(limits);
  now = 0;
  awaitUntil = Number.POSITIVE_INFINITY;
  versionsMade = 0;
  connectionsMade = 0;
  freeable: string[] = [];
  freed: string[] = [];
  ended: { lease: string; reason: string }[] = [];
  reported = new Map<string, { count: number; exact: boolean }>();
  /** What a successor would know, from what the ledger has recorded. */
  stored = new StoredState();

  constructor() {
    this.model.processes = processes.map((process) => ({ ...process }));
    this.ledger.recordTo((change) => this.stored.apply(change));
  }

  run(step: Step): void {
    const { model, ledger } = this;
    this.now++;
    const now = this.now;
    // Counted back from the newest: the interesting ones are seldom freed or closed long ago.
    const version = "version" in step ? `v${this.versionsMade - 1 - step.version}` : "";
    const connection = "connection" in step ? this.connectionsMade - 1 - step.connection : 0;
    switch (step.op) {
      case "add": {
        const id = `v${this.versionsMade++}`;
        const added = { id, set: sets[step.set]!, sharing: step.ipc ? ("ipc" as const) : ("vmm" as const) };
        const facts = { number: 1, writable: false, checksum: "", manifest: "", tensors: 0 };
        const version = { ...added, ...facts, slabs: [], source: "", loadedAt: 0 };
        this.stored.apply({ op: "versionAdded", version });
        ledger.addVersion(added);
        model.versions.push({ ...added, state: "staged", pinned: false, handedBack: false });
        this.reported.set(id, { count: 0, exact: !model.recovering() });
        break;
      }
      case "publish":
        this.both(() => ledger.publish(version), model.publish(version));
        break;
      case "retire":
        this.both(() => ledger.retire(sets[step.set]!), model.retire(sets[step.set]!));
        break;
      case "discard": {
        const staged = model.live(version);
        if (staged?.state === "staged") Object.assign(staged, { state: "retired", pinned: false });
        else {
          this.both(
            () => ledger.discard(version),
            staged ? "ERR_CUDA_IPC_INVALID_STATE" : "ERR_CUDA_IPC_NO_VERSION",
          );
          break;
        }
        this.both(() => ledger.discard(version), undefined);
        break;
      }
      case "pin": {
        const live = model.live(version);
        if (live !== undefined) live.pinned = step.on;
        this.both(
          () => (step.on ? ledger.pin(version) : ledger.unpin(version)),
          live ? undefined : "ERR_CUDA_IPC_NO_VERSION",
        );
        break;
      }
      case "handBack":
        for (const released of model.versions.filter(({ state }) => state === "released")) {
          released.handedBack = true;
          this.both(() => ledger.handedBack(released.id), undefined);
        }
        break;
      case "keeper": {
        if (step.gone) {
          model.keepers = model.keepers.filter(({ id }) => id !== "standby");
          this.both(() => ledger.keeperGone("standby"), undefined);
        } else if (
          model.live(version) &&
          !model.keepers.some((keeper) => keeper.id === "standby" && keeper.version === version)
        ) {
          ledger.addKeeper(version, "standby", now);
          model.keepers.push({ id: "standby", version, process: null, since: now });
        }
        break;
      }
      case "open": {
        const id = this.connectionsMade++;
        ledger.connectionOpened(id, processes[step.process]!);
        model.connections.push({ id, process: processes[step.process]!.key });
        break;
      }
      case "close":
        model.closed(connection, now);
        this.both(() => ledger.connectionClosed(connection, now), undefined);
        break;
      case "exit":
        model.exited(processes[step.process]!.key);
        this.both(() => ledger.processExited(processes[step.process]!.key), undefined);
        break;
      case "grant":
        this.both(
          () => ledger.grant({ lease: leaseId(step.lease), version, connection }, now),
          model.take(leaseId(step.lease), version, connection, now, false),
        );
        break;
      case "retain":
        this.retain(leaseId(step.lease), leaseId(step.newLease), connection);
        break;
      case "release": {
        const ids = step.leases.map(leaseId);
        this.both(() => ledger.release(ids, connection), model.release(ids, connection));
        break;
      }
      case "reclaim":
        this.reclaim(step.leases.map(leaseId), connection);
        break;
      case "expire":
        this.now += step.after;
        model.expire(this.now, this.awaitUntil);
        this.both(() => ledger.expire(this.now), undefined);
        break;
      case "restart":
        this.restart();
        break;
    }
    this.compare();
  }

  private retain(lease: string, newLease: string, connection: number): void {
    const { model, ledger, now } = this;
    const known = model.connections.find(({ id }) => id === connection);
    const retained = model.leases.find(({ id }) => id === lease);
    const version = retained?.version ?? model.leases.find(({ id }) => id === newLease)?.version;
    let refusal: string | undefined;
    if (known === undefined) refusal = "ERR_CUDA_IPC_CONNECTION_LOST";
    else if (version === undefined) refusal = "ERR_CUDA_IPC_LEASE_UNKNOWN";
    else if (retained && retained.process !== known.process) refusal = "ERR_CUDA_IPC_LEASE_FOREIGN";
    else refusal = model.take(newLease, version, connection, now, true);
    this.both(() => ledger.retain({ lease, newLease, connection }, now), refusal);
  }

  private reclaim(ids: string[], connection: number): void {
    const { model, ledger } = this;
    const known = model.connections.some(({ id }) => id === connection);
    const kept = known ? model.reclaim(ids, connection) : undefined;
    const refusal = known ? "ERR_CUDA_IPC_LEASE_FOREIGN" : "ERR_CUDA_IPC_CONNECTION_LOST";
    this.both(
      () => {
        const effects = ledger.reclaim(ids, connection);
        expect(effects.kept).toEqual(kept);
        return effects;
      },
      kept === undefined ? refusal : undefined,
    );
  }

  /** The owner dies; its successor reads what was written down. */
  private restart(): void {
    const snapshot = JSON.parse(JSON.stringify(this.ledger.snapshot())) as LedgerSnapshot;
    expect(sorted(StoredState.of(this.stored.changes()).ledger())).toEqual(sorted(snapshot));
    this.awaitUntil = this.now + awaitFor;
    this.ledger = Ledger.restore(snapshot, { awaitUntil: this.awaitUntil, limits });
    expect(this.ledger.snapshot()).toEqual(snapshot);
    this.ledger.recordTo((change) => this.stored.apply(change));
    this.model.restored();
    for (const id of this.reported.keys()) {
      this.reported.set(id, { count: 0, exact: !this.model.recovering() });
    }
  }

  private both(operate: () => Effects, refusal: string | undefined): void {
    let effects: Effects;
    try {
      effects = operate();
    } catch (error) {
      expect((error as { code?: string }).code, String(error)).toBe(refusal);
      return;
    }
    expect(refusal).toBeUndefined();
    this.model.collect();
    this.freeable.push(...effects.freeable);
    this.freed.push(...effects.freed);
    this.ended.push(...effects.ended.map(({ lease, reason }) => ({ lease, reason })));
    for (const { version, count, exact } of effects.counts) this.reported.set(version, { count, exact });
  }

  private compare(): void {
    // One strict comparison of everything: `expect` for each fact would take most of the test's time.
    assert.deepStrictEqual(this.seen(), this.expected());
    assert.equal(new Set(this.freeable).size, this.freeable.length);
    // The promise itself, apart from the model's way of finding what is free.
    for (const { version } of this.model.leases) assert.ok(!this.freeable.includes(version));
  }

  private seen() {
    const { ledger } = this;
    return {
      recovering: ledger.recovering,
      freeable: [...this.freeable].sort(),
      freed: [...this.freed].sort(),
      ended: this.ended.map(({ lease, reason }) => `${lease} ${reason}`).sort(),
      reported: Object.fromEntries([...this.reported].filter(([id]) => !this.freed.includes(id))),
      versions: ledger
        .versions()
        .map(({ keepers, ...version }) => ({ ...version, keepers: [...keepers].sort() })),
      holders: ledger.versions().map(({ id }) => ledger.holders(id).sort((a, b) => a.pid - b.pid)),
      connections: ledger.versions().map(({ id }) => ledger.connectionsOf({ version: id }).sort(ascending)),
      awaited: ledger
        .awaitedProcesses()
        .map(({ key }) => key)
        .sort(),
    };
  }

  private expected(): ReturnType<History["seen"]> {
    const { model } = this;
    const exact = !model.recovering();
    const alive = model.versions.filter(({ state }) => state !== "freed");
    const counted = (id: string) => model.leases.filter((lease) => lease.version === id && !lease.awaited);
    const unique = <T>(values: T[]) => [...new Set(values)];
    return {
      recovering: !exact,
      freeable: [...model.everFreeable].sort(),
      freed: [...model.everFreed].sort(),
      ended: model.ended.map(({ lease, reason }) => `${lease} ${reason}`).sort(),
      reported: Object.fromEntries(alive.map(({ id }) => [id, { count: counted(id).length, exact }])),
      versions: alive.map(({ handedBack, ...version }) => ({
        ...(version as Omit<VersionView, "refCount" | "keepers">),
        refCount: { count: counted(version.id).length, exact },
        keepers: model.keepers
          .filter((keeper) => keeper.version === version.id)
          .map(({ id }) => id)
          .sort(),
      })),
      holders: alive.map(({ id }) =>
        processes
          .map(({ key, proven, ...process }) => ({
            ...process,
            since: counted(id)
              .filter((lease) => lease.process === key)
              .map(({ since }) => since),
          }))
          .filter(({ since }) => since.length > 0)
          .map(({ since, ...process }) => ({ ...process, leases: since.length, since: Math.min(...since) })),
      ),
      connections: alive.map(({ id }) =>
        unique(counted(id).flatMap(({ connection }) => (connection === null ? [] : [connection]))).sort(
          ascending,
        ),
      ),
      awaited: unique(model.leases.filter(({ awaited }) => awaited).map(({ process }) => process)).sort(),
    };
  }
}

const ascending = (a: number, b: number) => a - b;

test("ten thousand random histories end as the trivial model says", { timeout: 300_000 }, () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: "max" }), (steps) => {
      const history = new History();
      for (const step of opening) history.run(step);
      for (const step of steps) history.run(step);
    }),
    { numRuns: 10_000 },
  );
});

function sorted({ versions, processes, leases, ...rest }: LedgerSnapshot) {
  const by = <T>(values: readonly T[], key: (value: T) => string) =>
    [...values].sort((a, b) => (key(a) < key(b) ? -1 : 1));
  return {
    ...rest,
    versions: by(
      versions.map(({ keepers, ...version }) => ({ ...version, keepers: by(keepers, ({ id }) => id) })),
      ({ id }) => id,
    ),
    processes: by(processes, ({ key }) => key),
    leases: by(leases, ({ id }) => id),
  };
}
