import { CudaIpcError } from "../errors.js";
import type { RequestMessage } from "../wire/messages.js";
import type { Answer, RequestHandlers } from "../wire/server.js";
import type { LockStatus } from "../wire/values.js";
import type { Ledger, ProcessIdentity } from "./ledger.js";
import { givenUp, locksHeld, lockTimeout, notLockable } from "./lock-errors.js";
import type { LockEffects, LockTable } from "./lock-table.js";

export interface LockServerOptions {
  readonly ledger: Ledger;
  readonly table: LockTable;
  /** Whether a version was published as writable. */
  writable(version: string): boolean;
  /** Writes down what changed, before anybody is told of it. */
  record?(effects: LockEffects): void;
}

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: CudaIpcError) => void;
}

/** The owner's side of locks: answers requests as the lock table decides, and bounds the waiting, never the holding. */
export class LockServer {
  private readonly waiting = new Map<string, Waiting>();
  private readonly onEnded = new Set<() => void>();
  private closing: CudaIpcError | undefined;

  constructor(private readonly options: LockServerOptions) {}

  handlers(session: number, process: ProcessIdentity): Pick<RequestHandlers, "lock" | "unlock" | "relock"> {
    const { table } = this.options;
    return {
      lock: (request) => this.lock(session, process, request),
      unlock: ({ locks }) => {
        this.apply(table.comeBack(locks, process));
        const before = table.heldBy(locks, process.key).length;
        this.apply(table.release(locks, process.key, Date.now()));
        return { body: { ended: before } };
      },
      relock: ({ locks }) => {
        // Who cannot be proven dead is told that he has lost them, and they are free at their deadline.
        if (process.proven) this.apply(table.comeBack(locks, process));
        return { body: { kept: process.proven ? table.heldBy(locks, process.key) : [] } };
      },
    };
  }

  /**
   * A process has released leases, or a thread of it that had them is gone: nobody is left who uses what was locked
   * through them. A lease that has ended at end-of-file may be among them, with its locks still held.
   */
  leasesReleased(leases: readonly string[], process: ProcessIdentity): void {
    const { table } = this.options;
    this.apply(table.comeBack(table.through(leases), process));
    this.apply(table.leasesReleased(leases, process.key, Date.now()));
  }

  connectionClosed(session: number): void {
    this.apply(this.options.table.connectionClosed(session, Date.now()));
  }

  processExited(process: string): void {
    this.apply(this.options.table.processExited(process, Date.now()));
  }

  /** The end of a recovery: every holder is known, so what is free may be granted. */
  recovered(): void {
    this.apply(this.options.table.recovered(Date.now()));
  }

  /** Whether a process must still be watched because of its locks. */
  knows(process: string): boolean {
    return this.options.table.knows(process);
  }

  /**
   * Watches who held a lock with the owner before, as the holders of leases are. `watch` says whether their death will
   * be told.
   */
  watchHolders(watch: (identity: ProcessIdentity) => boolean): void {
    const { table } = this.options;
    const holders = new Map(table.list().map(({ process }) => [process.key, process]));
    for (const process of holders.values()) table.setProven(process.key, watch(process));
  }

  /** Ends what is held by processes whose death cannot be proven and whose time is up. */
  expire(now: number): void {
    this.apply(this.options.table.expire(now));
  }

  /** When `expire` next has something to do. */
  nextDeadline(): number | undefined {
    return this.options.table.nextDeadline();
  }

  status(): LockStatus[] {
    return this.options.table.list().map(({ set, name, process, since, waiting }) => {
      const { pid, startTime, uid, command } = process;
      return { set, name, pid, startTime, uid, command, since, waiting };
    });
  }

  /** From here on nothing is granted; who waits is told why. Locks that are held can still be released. */
  refuseNew(error: CudaIpcError): void {
    this.closing = error;
    for (const lock of [...this.waiting.keys()]) this.stopWaiting(lock, error);
    this.apply(this.options.table.dropWaiting(Date.now()));
  }

  /** Throws ERR_CUDA_IPC_LOCKS_HELD. */
  assertFree(): void {
    const held = this.options.table.list();
    if (held.length > 0) throw locksHeld(held);
  }

  /** Settles when nobody holds a lock, by release or by death. */
  async free(signal?: AbortSignal): Promise<void> {
    while (this.options.table.list().length > 0) {
      signal?.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        const settle = (finish: () => void) => {
          this.onEnded.delete(onFree);
          signal?.removeEventListener("abort", onAbort);
          finish();
        };
        const onFree = () => settle(resolve);
        const onAbort = () => settle(() => reject(signal!.reason));
        this.onEnded.add(onFree);
        signal?.addEventListener("abort", onAbort, { once: true });
      });
    }
  }

  private lock(
    session: number,
    process: ProcessIdentity,
    { lease, name, lock, timeout }: RequestMessage<"lock">,
  ): Answer<"lock"> | Promise<Answer<"lock">> {
    if (this.closing !== undefined) throw this.closing;
    assertNameable(process);
    const set = this.setOf(lease, process);
    const { table } = this.options;
    const request = { lock, lease, set, name, process, connection: session, wait: timeout !== 0 };
    this.apply(table.comeBack([lock], process));
    const { held, ...effects } = table.acquire(request, Date.now());
    this.apply(effects);
    const release = () => this.apply(table.release([lock], process.key, Date.now()));
    const answer = { body: { lock }, onUnsent: release };
    if (held) return answer;
    // Asked for again, on another connection: the first one waits no longer.
    this.stopWaiting(lock, givenUp(lock));
    const granted = new Promise<void>((resolve, reject) => this.waiting.set(lock, { resolve, reject }));
    const timer =
      timeout === null
        ? undefined
        : setTimeout(() => {
            this.stopWaiting(lock, lockTimeout(request, timeout, table.holder(request)));
            release();
          }, timeout).unref();
    return granted.finally(() => clearTimeout(timer)).then(() => answer);
  }

  /** The set that the lease lets its process lock in. */
  private setOf(lease: string, process: ProcessIdentity): string {
    const { ledger, writable } = this.options;
    const held = ledger.lease(lease);
    const version = held && ledger.version(held.version);
    if (version === undefined) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_LEASE_UNKNOWN",
        `The lease ${lease} has ended, so nothing can be locked under it. Attach again.`,
      );
    }
    if (held!.process !== process.key) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_LEASE_FOREIGN",
        `The lease ${lease} belongs to another process, and only that process can use it.`,
      );
    }
    if (!writable(version.id)) throw notLockable(version.set);
    return version.set;
  }

  private apply(effects: LockEffects): void {
    const { ended, granted, dropped } = effects;
    if (ended.length + granted.length > 0) this.options.record?.(effects);
    for (const lock of dropped) this.stopWaiting(lock, givenUp(lock));
    for (const { lock } of granted) {
      this.waiting.get(lock)?.resolve();
      this.waiting.delete(lock);
    }
    if (ended.length > 0) for (const onChange of [...this.onEnded]) onChange();
  }

  private stopWaiting(lock: string, error: CudaIpcError): void {
    this.waiting.get(lock)?.reject(error);
    this.waiting.delete(lock);
  }
}

/** Who has no name or no pidfd could neither be found again by a new owner nor be proven dead. */
function assertNameable({ pid, startTime, proven }: ProcessIdentity): void {
  if (proven && startTime !== "") return;
  throw new CudaIpcError(
    "ERR_CUDA_IPC_PEER_UNPROVEN",
    `The death of process ${pid} could not be proven (no pidfd of it, or it is in a PID namespace that the owner does not see), so it is refused locks: one that it never released would be held for good.`,
  );
}
