import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { type LockEffects, LockTable } from "../../dist/lib/sharing/lock-table.js";

const limits = { locks: 9, locksPerProcess: 5 };
const processes = [0, 1, 2].map((n) => ({
  key: `boot:${n}`,
  pid: 100 + n,
  startTime: String(n),
  uid: 1000,
  command: `worker${n}`,
  proven: true,
}));
/** Two connections of each process. */
const processOf = (connection: number) => processes[connection >> 1]!;
const names = [
  { set: "llm", name: "a" },
  { set: "llm", name: "b" },
  { set: "vision", name: "a" },
];
const lockId = (n: number) => n.toString(16).padStart(32, "0");
/** Of four leases, whichever process they are of: nobody else's is ended. */
const leaseOf = (lock: number) => lockId(100 + (lock % 4));

const index = (max: number) => fc.nat({ max });
const step = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      op: fc.constant("acquire" as const),
      lock: index(11),
      name: index(2),
      connection: index(5),
      wait: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant("release" as const),
      locks: fc.array(index(11), { maxLength: 3 }),
      process: index(2),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant("leases" as const),
      leases: fc.array(index(3), { maxLength: 2 }),
      process: index(2),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("close" as const), connection: index(5) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("exit" as const), process: index(2) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("restart" as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("recovered" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface Asked {
  lock: string;
  lease: string;
  name: number;
  process: string;
  connection: number | undefined;
  held: boolean;
}

/** The trivial model: everything asked for, in one list in the order of arrival. */
class Model {
  asked: Asked[] = [];
  gate = true;

  /** Whoever was first among those who ask for a name that nobody holds. Returns whom it granted. */
  settle(): string[] {
    const granted: string[] = [];
    for (const asked of this.gate ? this.asked : []) {
      if (this.asked.some(({ name, held }) => held && name === asked.name)) continue;
      Object.assign(asked, { held: true, connection: undefined });
      granted.push(asked.lock);
    }
    return granted;
  }

  remove(gone: (asked: Asked) => boolean) {
    const removed = this.asked.filter(gone);
    this.asked = this.asked.filter((asked) => !gone(asked));
    return { ended: removed.filter(({ held }) => held), dropped: removed.filter(({ held }) => !held) };
  }
}

class History {
  table = new LockTable(limits);
  model = new Model();
  now = 0;

  run(step: Step): void {
    this.now++;
    const { table, model, now } = this;
    switch (step.op) {
      case "acquire":
        this.acquire(step);
        break;
      case "release": {
        const locks = step.locks.map(lockId);
        const { key } = processes[step.process]!;
        const foreign = model.asked.some(({ lock, process }) => locks.includes(lock) && process !== key);
        if (foreign) {
          const before = JSON.stringify(this.seen());
          assert.throws(() => table.release(locks, key, now), { code: "ERR_CUDA_IPC_LOCK_FOREIGN" });
          assert.equal(JSON.stringify(this.seen()), before);
        } else this.ended(table.release(locks, key, now), ({ lock }) => locks.includes(lock), "released");
        break;
      }
      case "leases": {
        const leases = step.leases.map(leaseOf);
        const { key } = processes[step.process]!;
        const gone = ({ lease, process }: Asked) => leases.includes(lease) && process === key;
        this.ended(table.leasesReleased(leases, key, now), gone, "released");
        break;
      }
      case "close": {
        const gone = ({ connection }: Asked) => connection === step.connection;
        this.ended(table.connectionClosed(step.connection, now), gone, "released");
        break;
      }
      case "exit": {
        const { key } = processes[step.process]!;
        this.ended(table.processExited(key, now), ({ process }) => process === key, "process-exited");
        break;
      }
      case "restart":
        this.table = LockTable.restore(JSON.parse(JSON.stringify(table.snapshot())), {
          limits,
          awaitUntil: Number.POSITIVE_INFINITY,
        });
        model.remove(({ held }) => !held);
        model.gate = false;
        break;
      case "recovered": {
        model.gate = true;
        assert.deepEqual(ids(table.recovered(now).granted), model.settle().sort());
        break;
      }
    }
    assert.deepStrictEqual(this.seen(), this.expected());
  }

  private acquire({ lock, name, connection, wait }: Step & { op: "acquire" }) {
    const { table, model, now } = this;
    const id = lockId(lock);
    const process = processOf(connection);
    const lease = leaseOf(lock);
    const operate = () => table.acquire({ lock: id, lease, ...names[name]!, process, connection, wait }, now);
    const known = model.asked.find((asked) => asked.lock === id);
    const refuse = (code: string) => assert.throws(operate, { code: `ERR_CUDA_IPC_${code}` });
    if (known !== undefined) {
      if (known.process !== process.key || known.name !== name) return refuse("LOCK_EXISTS");
      if (!known.held) known.connection = connection;
      assert.equal(operate().held, known.held);
      return;
    }
    const taken = !model.gate || model.asked.some((asked) => asked.held && asked.name === name);
    if (taken && !wait) return refuse("LOCK_TIMEOUT");
    const own = model.asked.filter((asked) => asked.process === process.key).length;
    if (own >= limits.locksPerProcess || model.asked.length >= limits.locks) return refuse("LOCK_LIMIT");
    model.asked.push({ lock: id, lease, name, process: process.key, connection, held: false });
    const granted = model.settle();
    const effects = operate();
    assert.equal(effects.held, granted.includes(id));
    assert.deepEqual(ids(effects.granted), granted);
  }

  private ended(effects: LockEffects, gone: (asked: Asked) => boolean, reason: string): void {
    const { ended, dropped } = this.model.remove(gone);
    const granted = this.model.settle();
    assert.deepEqual(ids(effects.ended), ids(ended));
    assert.ok(effects.ended.every((end) => end.reason === reason));
    assert.deepEqual([...effects.dropped].sort(), ids(dropped));
    assert.deepEqual(ids(effects.granted), granted.sort());
  }

  private seen() {
    const { table } = this;
    return {
      recovering: table.recovering,
      names: names.map((name) => ({ holder: table.holder(name)?.lock, waiting: table.waiting(name) })),
      held: ids(table.list()),
      heldBy: processes.map(({ key }) => table.heldBy([...Array(12).keys()].map(lockId), key).sort()),
      knows: processes.map(({ key }) => table.knows(key)),
    };
  }

  private expected(): ReturnType<History["seen"]> {
    const { asked, gate } = this.model;
    const of = (name: number) => asked.filter((one) => one.name === name);
    return {
      recovering: !gate,
      names: names.map((_, name) => ({
        holder: of(name).find(({ held }) => held)?.lock,
        waiting: of(name).flatMap(({ held, lock }) => (held ? [] : lock)),
      })),
      held: ids(asked.filter(({ held }) => held)),
      heldBy: processes.map(({ key }) => ids(asked.filter(({ held, process }) => held && process === key))),
      knows: processes.map(({ key }) => asked.some(({ process }) => process === key)),
    };
  }
}

const ids = (locks: readonly { lock: string }[]) => locks.map(({ lock }) => lock).sort();

test("two thousand random histories end as the trivial model says", { timeout: 300_000 }, () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const history = new History();
      for (const step of steps) history.run(step);
    }),
    { numRuns: 2_000 },
  );
});
