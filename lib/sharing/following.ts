import { EventEmitter } from "node:events";
import { type InspectOptionsStylized, inspect } from "node:util";
import { CudaIpcError, checkOptions, invalidArgument, optionNames } from "../errors.js";
import { type AttachOptions, attach } from "./attach.js";
import { Generation } from "./generation.js";
import { summary } from "./summary.js";
import type { Weights } from "./weights.js";

export interface FollowOptions extends Omit<AttachOptions, "version" | "checksum"> {
  /**
   * Looks at a version before any request runs on it: to warm up, or to try it. What it throws keeps the version before.
   * The signal is aborted when the weights are followed no longer.
   */
  prepare?: (weights: Weights, signal: AbortSignal) => void | Promise<void>;
}

/** A version, as events name it. */
export interface FollowedVersion {
  readonly id: string;
  readonly number: number;
}

interface FollowingEvents {
  /** New requests run on another version from here on. */
  moved: [{ from: FollowedVersion; to: FollowedVersion }];
  /** The last request on a version that is not the newest has ended, and its lease with it. */
  drained: [FollowedVersion];
  /** The next version could not be attached or prepared. Requests go on with the one there is; it is tried again. */
  moveerror: [Error];
  /** The set was withdrawn. Requests go on with the version there is. */
  retired: [{ set: string }];
  /** The connection to the owner is gone; requests go on. */
  ownerlost: [CudaIpcError | undefined];
  /** Another owner has taken over, or the same one is back. */
  ownerfound: [{ owner: string; kept: boolean }];
}

const followOptions = optionNames<FollowOptions>({
  socket: true,
  access: true,
  driver: true,
  timeout: true,
  signal: true,
  prepare: true,
});

const firstRetryMs = 250;
const longestRetryMs = 30_000;

/**
 * A weight set as a server wants it: every request runs on the newest version there is when it begins, and on that
 * version until it ends. When a new one is published it is attached beside the requests; new ones then run on it, those
 * under way finish on the old one, and its lease ends with the last of them.
 */
export class Following extends EventEmitter<FollowingEvents> implements AsyncDisposable {
  private newest: Generation;
  /** Those that are not the newest any more, and their ends. */
  private readonly old = new Map<Generation, Promise<void>>();
  private underWay: Promise<void> | undefined;
  /** Something has happened since the move that is under way began. */
  private again = false;
  private retry: NodeJS.Timeout | undefined;
  private retryMs = firstRetryMs;
  private ending: Promise<void> | undefined;
  private readonly ended = new AbortController();

  /** @internal */
  constructor(
    weights: Weights,
    private readonly options: Pick<FollowOptions, "prepare" | "timeout">,
  ) {
    super();
    this.newest = new Generation(weights);
    this.listen(weights);
  }

  /** @internal */
  async begin(): Promise<void> {
    await this.options.prepare?.(this.newest.weights, this.ended.signal);
  }

  /** The name of the weight set. */
  get name(): string {
    return this.newest.weights.name;
  }

  /** On which version a request that begins now runs. */
  get version(): FollowedVersion {
    return this.newest.weights.version;
  }

  /** The versions held, the newest first, and how many requests run on each. */
  get versions(): (FollowedVersion & { requests: number })[] {
    const generations = [this.newest, ...[...this.old.keys()].reverse()];
    return generations.map(({ weights, requests }) => ({ ...weights.version, requests }));
  }

  /** Whether another version is being attached. */
  get moving(): boolean {
    return this.underWay !== undefined;
  }

  /**
   * Runs a request on the newest version, which stays mapped until the request has settled. The weights are not the
   * request's to release, nor to keep.
   */
  async use<T>(request: (weights: Weights) => T | Promise<T>): Promise<T> {
    if (typeof request !== "function") throw invalidArgument("request", "a function", request);
    if (this.ending !== undefined) throw this.closed();
    return this.newest.run(request);
  }

  /** Takes no new requests, waits for those under way, and releases everything. Harmless when disposed already. */
  dispose(): Promise<void> {
    this.ending ??= this.end();
    return this.ending;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  private async end(): Promise<void> {
    clearTimeout(this.retry);
    this.ended.abort(this.closed());
    await this.underWay;
    await Promise.all([this.newest.drain(), ...this.old.values()]);
  }

  private listen(weights: Weights): void {
    const isNewest = () => weights === this.newest.weights && this.ending === undefined;
    weights.on("superseded", () => isNewest() && this.move());
    weights.on("reinstated", () => isNewest() && this.stay());
    weights.on("retired", (event) => {
      if (!isNewest()) return;
      this.stay();
      this.emit("retired", event);
    });
    weights.on("ownerlost", (error) => isNewest() && this.emit("ownerlost", error));
    weights.on("ownerfound", (found) => {
      if (!isNewest()) return;
      // An owner that does not count this lease will not tell it what is new either.
      if (!found.kept) this.move();
      this.emit("ownerfound", found);
    });
  }

  /** There is nothing to move to. */
  private stay(): void {
    clearTimeout(this.retry);
    this.retryMs = firstRetryMs;
  }

  private move(): void {
    clearTimeout(this.retry);
    this.again = true;
    this.underWay ??= this.moveNow().finally(() => {
      this.underWay = undefined;
    });
  }

  private async moveNow(): Promise<void> {
    while (this.again && this.ending === undefined) {
      this.again = false;
      try {
        const next = await this.attachNext();
        this.retryMs = firstRetryMs;
        if (next !== undefined) this.moveTo(next);
      } catch (error) {
        if (this.ending !== undefined) return;
        this.tryLater();
        this.tell("moveerror", error as Error);
      }
    }
  }

  /** Undefined when there is no other version. */
  private async attachNext(): Promise<Weights | undefined> {
    const { timeout, prepare } = this.options;
    const next = await this.newest.weights.latest({ timeout, signal: this.ended.signal });
    try {
      if (next.version.id !== this.version.id) {
        await prepare?.(next, this.ended.signal);
        if (this.ending === undefined) return next;
      }
    } catch (error) {
      await next.release();
      throw error;
    }
    await next.release();
    return undefined;
  }

  private moveTo(next: Weights): void {
    const before = this.newest;
    this.newest = new Generation(next);
    this.listen(next);
    const drained = before.drain().then(
      () => {
        if (this.ending === undefined) this.tell("drained", before.weights.version);
      },
      (error: Error) => process.emitWarning(error),
    );
    this.old.set(
      before,
      drained.finally(() => this.old.delete(before)),
    );
    this.tell("moved", { from: before.weights.version, to: next.version });
  }

  private tryLater(): void {
    this.retry = setTimeout(() => this.move(), this.retryMs).unref();
    this.retryMs = Math.min(2 * this.retryMs, longestRetryMs);
  }

  /** On a turn of its own: what a listener throws must not look like a failed move. */
  private tell<E extends "moved" | "drained" | "moveerror">(event: E, ...about: FollowingEvents[E]): void {
    setImmediate(() => this.emit(event, ...(about as never)));
  }

  private closed(): CudaIpcError {
    return new CudaIpcError(
      "ERR_CUDA_IPC_CLOSED",
      `The weights ${JSON.stringify(this.name)} are not followed any more: dispose() was called.`,
    );
  }

  /** @internal */
  [inspect.custom](depth: number | null, options: InspectOptionsStylized): string {
    const { name, versions, moving } = this;
    return summary("Following", { name, versions, moving }, depth, options);
  }
}

/**
 * Attaches to a weight set and stays with its newest version: `following.use(async (weights) => ...)` for every
 * request. Errors: as `attach`.
 */
export async function follow(name: string, options: FollowOptions = {}): Promise<Following> {
  checkOptions(options, followOptions);
  const { prepare, timeout, ...rest } = options;
  if (prepare !== undefined && typeof prepare !== "function") {
    throw invalidArgument("prepare", "a function", prepare);
  }
  const weights = await attach(name, { ...rest, timeout });
  // It listens from here on: what is published while this version is prepared is moved to as well.
  const following = new Following(weights, { prepare, timeout });
  try {
    await following.begin();
  } catch (error) {
    await following.dispose();
    throw error;
  }
  return following;
}
