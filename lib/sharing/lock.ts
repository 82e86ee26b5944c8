import { EventEmitter } from "node:events";
import { type InspectOptionsStylized, inspect } from "node:util";
import { type CudaIpcError, checkOptions, checkSignal, invalidArgument } from "../errors.js";
import { hasUtf8Form } from "../formats/text.js";
import { native } from "../native.js";
import { maxLockWaitMs } from "../wire/limits.js";
import { readAfter } from "./after.js";
import { summary } from "./summary.js";
import type { ReleaseOptions, Weights } from "./weights.js";

export interface LockOptions {
  /**
   * Milliseconds to wait, 0 for not at all: ERR_CUDA_IPC_LOCK_TIMEOUT. It bounds the waiting, never the holding.
   * Default: as long as it takes.
   */
  timeout?: number;
  /** Gives the waiting up. */
  signal?: AbortSignal;
}

/** What a Lock asks of the connection to its owner. */
export interface LockGrip {
  readonly id: string;
  readonly held: boolean;
  release(): Promise<void>;
}

export function checkLockArguments(name: unknown, options: LockOptions): void {
  checkOptions(options, ["timeout", "signal"]);
  const { timeout, signal } = options;
  if (typeof name !== "string" || name === "" || name.length > 256 || !hasUtf8Form(name)) {
    throw invalidArgument("name", "a name of 1 to 256 characters, no unpaired surrogates", name);
  }
  if (timeout !== undefined && !(Number.isInteger(timeout) && timeout >= 0 && timeout <= maxLockWaitMs)) {
    const expected = `an integer of milliseconds, 0 to ${maxLockWaitMs} (leave it out to wait as long as it takes)`;
    throw invalidArgument("timeout", expected, timeout);
  }
  checkSignal(signal);
}

interface LockEvents {
  /** A new owner knows nothing of this lock: another process may hold it. */
  lost: [CudaIpcError];
}

/**
 * A named lock of a writable weight set, held by this process until `release()` (or `await using`), until its weights
 * are released, or until the process is dead. The death of its owner does not end it.
 */
export class Lock extends EventEmitter<LockEvents> implements AsyncDisposable {
  private releasing: Promise<void> | undefined;
  private gone = false;

  /** @internal */
  constructor(
    /** The weights through which it was taken. */
    readonly weights: Weights,
    readonly name: string,
    private readonly grip: LockGrip,
  ) {
    super();
    registry.register(this, { name, grip });
  }

  get held(): boolean {
    return this.grip.held;
  }

  /** Whether a new owner, which knows nothing of this lock, has taken over. */
  get lost(): boolean {
    return this.gone;
  }

  /**
   * Waits for the work that the lock protects and passes it on. `after` is an event or a stream to wait for; by default
   * it is all of this process's work on the devices of the weights; `null` waits for nothing. Harmless when released
   * already.
   */
  async release(options: ReleaseOptions = {}): Promise<void> {
    const after = readAfter(options);
    this.releasing ??= this.finish(after);
    return this.releasing;
  }

  /** The same as `release()`. */
  dispose(): Promise<void> {
    return this.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  private async finish(after: ReturnType<typeof readAfter>): Promise<void> {
    try {
      if (!this.grip.held || after === null) return;
      if (after !== undefined) await after.synchronize();
      else await Promise.all(this.weights.devices.map((device) => native.synchronizeDevice(device)));
    } finally {
      // Work that failed does not run any more, so the lock need not outlive it.
      await this.grip.release();
    }
  }

  /** @internal */
  lose(error: CudaIpcError): void {
    this.gone = true;
    // On a turn of its own: what a listener throws must not keep the other locks from being told.
    queueMicrotask(() => this.emit("lost", error));
  }

  /** @internal */
  [inspect.custom](depth: number | null, options: InspectOptionsStylized): string {
    const { name, held, lost } = this;
    return summary("Lock", { name, held, lost }, depth, options);
  }
}

/** Nobody can tell whether what a forgotten lock protects is done, so it is not released: its weights' end does that. */
const registry = new FinalizationRegistry<{ name: string; grip: LockGrip }>(({ name, grip }) => {
  if (!grip.held) return;
  process.emitWarning(
    `The lock ${JSON.stringify(name)} was collected without release(). It stays held until its weights are released or this process ends.`,
    { type: "CudaIpcWarning", code: "CUDA_IPC_UNRELEASED_LOCK" },
  );
});
