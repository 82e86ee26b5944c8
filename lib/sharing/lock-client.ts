import type { CudaIpcError } from "../errors.js";
import type { ClientConnection } from "../wire/client.js";
import { maxLockWaitMs } from "../wire/limits.js";
import { randomId } from "./ids.js";
import { keepAlive } from "./keep-alive.js";
import type { Lock, LockGrip, LockOptions } from "./lock.js";
import { lockLost, lockReleased, lockUnanswered } from "./lock-errors.js";
import { untilAborted } from "./patience.js";

/** What the client of an owner offers for locks. */
export interface LockLine {
  /** Sends a request on the connection, which it opens where there is none. */
  request(
    type: "lock" | "unlock",
    body: object,
    limits: { timeout?: number; signal?: AbortSignal },
  ): Promise<unknown>;
  /** Settles when the owner knows what this process holds: at once, or when a connection that broke is back. */
  ready(): Promise<void>;
  /** Whether there is a connection to say something on. */
  readonly connected: boolean;
}

/** Beyond the time that a lock may be waited for: for the owner's answer that it was not granted. */
const answerWithinMs = 1000;

interface Taken {
  readonly id: string;
  readonly lease: string;
  readonly name: string;
  readonly giveUp: AbortController;
  held: boolean;
  /** Weak, so that a lock that nobody uses is noticed. */
  lock: WeakRef<Lock> | undefined;
}

/** This process's locks at one owner, and those it still has to give back. */
export class LockClient {
  private readonly taken = new Map<string, Taken>();
  /** Locks that the owner may keep for this process although nobody here wants them. */
  private readonly debts = new Set<string>();

  constructor(private readonly line: LockLine) {}

  /** Whether there is something to tell an owner when it can be reached again. */
  get owing(): boolean {
    return this.debts.size > 0;
  }

  /** Waits for the lock through the loss of the connection and of the owner. */
  async acquire(
    lease: string,
    name: string,
    { timeout, signal }: LockOptions,
    make: (grip: LockGrip) => Lock,
  ): Promise<Lock> {
    // While there is no owner nothing else does, as a process need not stay to tell the next one of what it holds.
    const alive = keepAlive();
    const giveUp = new AbortController();
    const taken: Taken = { id: randomId(), lease, name, giveUp, held: false, lock: undefined };
    this.taken.set(taken.id, taken);
    const onAbort = () => taken.giveUp.abort(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted) onAbort();
    const overdue = () => taken.giveUp.abort(lockUnanswered(name, timeout!));
    const timer =
      timeout === undefined
        ? undefined
        : setTimeout(overdue, Math.min(timeout + answerWithinMs, maxLockWaitMs));
    try {
      await this.ask(taken, timeout);
      taken.giveUp.signal.throwIfAborted();
      taken.held = true;
    } catch (error) {
      this.taken.delete(taken.id);
      // Granted or not: where nobody can tell, it is given back.
      if (taken.giveUp.signal.aborted) void this.giveBack([taken.id]);
      throw error;
    } finally {
      clearInterval(alive);
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
    const lock = make(this.gripOf(taken));
    taken.lock = new WeakRef(lock);
    return lock;
  }

  /** The memory of the lease is unmapped: nothing is left that its locks could protect. */
  async leaseEnds(lease: string): Promise<void> {
    const ending = [...this.taken.values()].filter((taken) => taken.lease === lease);
    const held = ending.filter(({ held }) => held);
    for (const taken of ending) {
      if (taken.held) this.forget(taken);
      else taken.giveUp.abort(lockReleased(taken.name));
    }
    if (held.length > 0) await this.giveBack(held.map(({ id }) => id));
  }

  /** On a new connection, when the owner has taken the leases back: what is given back, and what is held still. */
  async resume(connection: Pick<ClientConnection, "request">): Promise<void> {
    const debts = [...this.debts];
    if (debts.length > 0) await connection.request("unlock", { locks: debts }, { background: true });
    for (const lock of debts) this.debts.delete(lock);
    const held = [...this.taken.values()].filter((taken) => taken.held);
    if (held.length === 0) return;
    const { message } = await connection.request(
      "relock",
      { locks: held.map(({ id }) => id) },
      { background: true },
    );
    const kept = new Set(message.kept);
    for (const taken of held) {
      if (kept.has(taken.id) || !taken.held) continue;
      this.forget(taken);
      taken.lock?.deref()?.lose(lockLost(taken.name));
    }
  }

  /** Asks until the owner, or the one after it, has answered. */
  private async ask({ id, lease, name, giveUp: { signal } }: Taken, timeout?: number): Promise<void> {
    const until = timeout === undefined ? undefined : performance.now() + timeout;
    for (;;) {
      await untilAborted(this.line.ready(), signal);
      const left = until === undefined ? null : Math.max(Math.round(until - performance.now()), 0);
      try {
        await this.line.request("lock", { lease, name, lock: id, timeout: left }, { signal });
        return;
      } catch (error) {
        // The request is the same one when it is repeated, so it cannot be granted twice.
        if (!connectionLost(error) || signal.aborted) throw error;
      }
    }
  }

  private gripOf(taken: Taken): LockGrip {
    return {
      id: taken.id,
      get held() {
        return taken.held;
      },
      release: async () => {
        if (!taken.held) return;
        this.forget(taken);
        await this.giveBack([taken.id]);
      },
    };
  }

  private forget(taken: Taken): void {
    taken.held = false;
    this.taken.delete(taken.id);
  }

  /** Tells the owner, now if it can be reached, else when it can. Never rejects. */
  private async giveBack(locks: readonly string[]): Promise<void> {
    for (const lock of locks) this.debts.add(lock);
    if (!this.line.connected) return;
    try {
      await this.line.request("unlock", { locks }, {});
      for (const lock of locks) this.debts.delete(lock);
    } catch {
      // The connection broke: they stay debts until an owner is reached again.
    }
  }
}

function connectionLost(error: unknown): boolean {
  const { code } = error as CudaIpcError;
  return code === "ERR_CUDA_IPC_CONNECTION_LOST" || code === "ERR_CUDA_IPC_NO_OWNER";
}
