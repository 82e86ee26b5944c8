import { CudaIpcError } from "../errors.js";
import { Groups } from "./groups.js";
import type { ProcessIdentity } from "./ledger-types.js";
import { lockExists, lockForeign, lockLimit, lockTimeout } from "./lock-errors.js";
import {
  defaultLockLimits,
  type HeldLock,
  type LockEffects,
  type LockEnd,
  type LockLimits,
  type LockName,
  type LockRequest,
  type LockSnapshot,
} from "./lock-types.js";

export * from "./lock-types.js";

/** One request: the holder of its lock, or one who waits for it. */
interface Entry {
  readonly lock: string;
  readonly lease: string;
  readonly queue: Queue;
  process: ProcessIdentity;
  /** Of one who waits. A holder stays one without a connection. */
  connection: number | undefined;
  since: number;
  /** Held since the time of an owner before, and its holder has not come back. */
  awaited?: boolean;
}

interface Queue extends LockName {
  holder: Entry | undefined;
  /** In the order of arrival. */
  readonly waiting: Set<Entry>;
}

/**
 * Who holds which named lock, and who waits for it: first come, first served, whoever asks, so a second request of
 * the holder's own process waits like any other.
 *
 * A lock ends when its holder's process releases it, or the lease through which it was taken, or is dead, and by nothing
 * else: end-of-file proves no death, and the work that the lock protects may still be running on the device. Of a holder that an owner before has named, and
 * whose death cannot be proven here, the return is awaited for a time.
 *
 * Pure: it reads no clock and answers nobody. Every operation either throws and has changed nothing, or returns what
 * it changed.
 */
export class LockTable {
  private readonly limits: LockLimits;
  private readonly queues = new Map<string, Queue>();
  private readonly entries = new Map<string, Entry>();
  private readonly ofProcess = new Groups<string, Entry>();
  private readonly ofLease = new Groups<string, Entry>();
  private readonly waitingOn = new Groups<number, Entry>();
  private closedGate = false;
  /** Until when awaited holders are awaited whose death cannot be proven. */
  private awaitUntil = Number.POSITIVE_INFINITY;

  constructor(limits: Partial<LockLimits> = {}) {
    this.limits = { ...defaultLockLimits, ...limits };
  }

  /** The successor of the owner that took the snapshot. Grants nothing until `recovered()`. */
  static restore(
    snapshot: LockSnapshot,
    { limits, awaitUntil }: { limits?: Partial<LockLimits>; awaitUntil: number },
  ): LockTable {
    const table = new LockTable(limits);
    table.closedGate = true;
    table.awaitUntil = awaitUntil;
    for (const { lock, lease, set, name, process, since } of snapshot.locks) {
      const queue = table.queue({ set, name });
      if (queue.holder !== undefined || table.entries.has(lock)) {
        throw new CudaIpcError(
          "ERR_CUDA_IPC_SNAPSHOT",
          `The snapshot holds the lock ${lock} (${JSON.stringify(name)}) twice: it is damaged and cannot be restored.`,
        );
      }
      const facts = { process: { ...process }, connection: undefined, since, awaited: true };
      queue.holder = table.add({ lock, lease, queue, ...facts });
    }
    return table;
  }

  /** While true nothing is granted: a holder that the table does not know of might still be there. */
  get recovering(): boolean {
    return this.closedGate;
  }

  /** Every holder is known now: grants what can be granted. */
  recovered(now: number): LockEffects {
    this.closedGate = false;
    const effects = noEffects();
    for (const queue of [...this.queues.values()]) this.advance(queue, effects, now);
    return effects;
  }

  /**
   * Grants the lock, or queues the request. Repeated under the same id, by the same process, it is the same request:
   * held already, or waiting on in its place, on the new connection.
   */
  acquire(request: LockRequest, now: number): LockEffects & { held: boolean } {
    const { lock, lease, set, name, process, connection, wait } = request;
    const known = this.entries.get(lock);
    if (known !== undefined) return { ...noEffects(), held: this.repeat(known, request) };
    const queue = this.queues.get(key(request));
    const free = !this.closedGate && queue?.holder === undefined;
    if (!free && !wait) throw lockTimeout({ set, name }, 0, this.holder(request));
    this.checkRoom(process);
    const queued = { queue: this.queue({ set, name }), connection, since: now };
    const entry = this.add({ lock, lease, process, ...queued });
    entry.queue.waiting.add(entry);
    this.waitingOn.add(connection, entry);
    const effects = noEffects();
    this.advance(entry.queue, effects, now);
    return { ...effects, held: entry.queue.holder === entry };
  }

  /**
   * Ends locks of a process, held or waited for. Those that are gone already are skipped; one of another process
   * refuses all of them.
   */
  release(locks: Iterable<string>, process: string, now: number): LockEffects {
    const own = [...new Set(locks)].flatMap((lock) => {
      const entry = this.entries.get(lock);
      if (entry !== undefined && entry.process.key !== process) throw lockForeign(lock);
      return entry ?? [];
    });
    return this.end(own, "released", now);
  }

  /** Locks that were taken, or are asked for, through leases. */
  through(leases: Iterable<string>): string[] {
    return [...new Set(leases)].flatMap((lease) => this.ofLease.of(lease).map(({ lock }) => lock));
  }

  /** Ends what the process holds, or waits for, through leases that it has released. */
  leasesReleased(leases: Iterable<string>, process: string, now: number): LockEffects {
    const locks = this.through(leases).map((lock) => this.entries.get(lock)!);
    const own = locks.filter((entry) => entry.process.key === process);
    return this.end(own, "released", now);
  }

  /** Whoever waited on the connection does so no longer. Holders are not touched: end-of-file is not death. */
  connectionClosed(connection: number, now: number): LockEffects {
    return this.end(this.waitingOn.of(connection), "released", now);
  }

  /** The process is provably dead: its locks pass on, in one step, so that none passes to another request of it. */
  processExited(process: string, now: number): LockEffects {
    return this.end(this.ofProcess.of(process), "process-exited", now);
  }

  /** Whether the death of a process that an owner before has named could be proven; where not, its locks have a deadline. */
  setProven(process: string, proven: boolean): void {
    for (const entry of this.ofProcess.of(process)) entry.process = { ...entry.process, proven };
  }

  /**
   * The process takes up again what it held with an owner before. One that the owner cannot name comes back as a
   * stranger: it is known by its user and by the ids of its locks, and holds them under its new name from here on.
   */
  comeBack(locks: Iterable<string>, process: ProcessIdentity): LockEffects {
    const effects = noEffects();
    for (const lock of new Set(locks)) {
      const entry = this.entries.get(lock);
      if (!entry?.awaited) continue;
      const before = entry.process;
      const stranger = before.key !== process.key;
      if (stranger && (before.proven || before.uid !== process.uid)) continue;
      if (stranger) effects.ended.push({ ...view(entry), reason: "released" });
      this.ofProcess.delete(before.key, entry);
      Object.assign(entry, { process, awaited: false });
      this.ofProcess.add(process.key, entry);
      if (stranger) effects.granted.push(view(entry));
    }
    return effects;
  }

  /** Ends the locks of holders that have not come back, cannot be proven dead, and have had their time. */
  expire(now: number): LockEffects {
    return now < this.awaitUntil ? noEffects() : this.end(this.unproven(), "deadline", now);
  }

  /** When `expire` next has something to do. */
  nextDeadline(): number | undefined {
    return this.unproven().length > 0 ? this.awaitUntil : undefined;
  }

  private unproven(): Entry[] {
    return [...this.entries.values()].filter(({ awaited, process }) => awaited && !process.proven);
  }

  /** Nobody waits any more: the owner is closing. */
  dropWaiting(now: number): LockEffects {
    const waiting = [...this.entries.values()].filter((entry) => entry.queue.holder !== entry);
    return this.end(waiting, "released", now);
  }

  /** Those of the locks that the process holds. */
  heldBy(locks: Iterable<string>, process: string): string[] {
    return [...new Set(locks)].filter((lock) => {
      const entry = this.entries.get(lock);
      return entry?.process.key === process && entry.queue.holder === entry;
    });
  }

  holder(name: LockName): HeldLock | undefined {
    const entry = this.queues.get(key(name))?.holder;
    return entry && view(entry);
  }

  /** Every lock that is held. */
  list(): (HeldLock & { waiting: number })[] {
    return [...this.queues.values()].flatMap(({ holder, waiting }) =>
      holder === undefined ? [] : { ...view(holder), waiting: waiting.size },
    );
  }

  /** Everybody who waits, by lock id, in the order in which they will be served. */
  waiting(name: LockName): string[] {
    return [...(this.queues.get(key(name))?.waiting ?? [])].map(({ lock }) => lock);
  }

  /** Whether the process holds a lock here, or waits for one. */
  knows(process: string): boolean {
    return this.ofProcess.count(process) > 0;
  }

  /** Plain JSON, for `LockTable.restore`. */
  snapshot(): LockSnapshot {
    return { format: 1, locks: this.list().map(({ waiting, ...held }) => held) };
  }

  private repeat(entry: Entry, { lock, lease, set, name, process, connection }: LockRequest): boolean {
    const { queue } = entry;
    const same = entry.process.key === process.key && entry.lease === lease;
    if (!same || queue.set !== set || queue.name !== name) throw lockExists(lock);
    if (queue.holder === entry) return true;
    this.waitingOn.delete(entry.connection!, entry);
    entry.connection = connection;
    this.waitingOn.add(connection, entry);
    return false;
  }

  private checkRoom(process: ProcessIdentity): void {
    const { locks, locksPerProcess } = this.limits;
    const own = this.ofProcess.count(process.key);
    if (own >= locksPerProcess) throw lockLimit("process", own, locksPerProcess);
    if (this.entries.size >= locks) throw lockLimit("owner", this.entries.size, locks);
  }

  /** Takes all of them out first, so that none of them is granted on the way. */
  private end(entries: readonly Entry[], reason: LockEnd, now: number): LockEffects {
    const effects = noEffects();
    for (const entry of entries) {
      const { queue } = entry;
      this.entries.delete(entry.lock);
      this.ofProcess.delete(entry.process.key, entry);
      this.ofLease.delete(entry.lease, entry);
      if (queue.holder === entry) {
        queue.holder = undefined;
        effects.ended.push({ ...view(entry), reason });
      } else {
        this.stopWaiting(entry);
        effects.dropped.push(entry.lock);
      }
    }
    for (const { queue } of entries) this.advance(queue, effects, now);
    return effects;
  }

  /** Gives a free lock to whoever has waited longest; forgets a lock that nobody wants. */
  private advance(queue: Queue, effects: LockEffects, now: number): void {
    if (queue.holder !== undefined) return;
    const [first] = queue.waiting;
    if (first === undefined) {
      this.queues.delete(key(queue));
      return;
    }
    if (this.closedGate) return;
    this.stopWaiting(first);
    first.since = now;
    queue.holder = first;
    effects.granted.push(view(first));
  }

  private stopWaiting(entry: Entry): void {
    entry.queue.waiting.delete(entry);
    this.waitingOn.delete(entry.connection!, entry);
    entry.connection = undefined;
  }

  private queue({ set, name }: LockName): Queue {
    const known = this.queues.get(key({ set, name }));
    if (known !== undefined) return known;
    const queue: Queue = { set, name, holder: undefined, waiting: new Set() };
    this.queues.set(key(queue), queue);
    return queue;
  }

  private add(entry: Entry): Entry {
    this.entries.set(entry.lock, entry);
    this.ofProcess.add(entry.process.key, entry);
    this.ofLease.add(entry.lease, entry);
    return entry;
  }
}

function key({ set, name }: LockName): string {
  return JSON.stringify([set, name]);
}

function view({ lock, lease, queue: { set, name }, process, since }: Entry): HeldLock {
  return { lock, lease, set, name, process, since };
}

function noEffects(): LockEffects {
  return { ended: [], granted: [], dropped: [] };
}
