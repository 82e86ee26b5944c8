import { EventEmitter } from "node:events";
import { type InspectOptionsStylized, inspect } from "node:util";
import { CudaIpcError, checkOptions, checkSignal } from "../errors.js";
import type { TensorEntry } from "../loading/plan.js";
import { type Access, native } from "../native.js";
import type { After } from "./after.js";
import type { Attachment } from "./attachment.js";
import { later } from "./later.js";
import type { RefCount } from "./ledger-types.js";
import type { Lock, LockOptions } from "./lock.js";
import { Tensor } from "./tensor.js";
import { checkTimeout } from "./timeouts.js";

/** What Weights asks of the connection to its owner. */
export interface LeaseService {
  refCount(version: string): Promise<RefCount>;
  retain(attachment: Attachment, access: Access): Promise<Weights>;
  latest(set: string, access: Access, limits: LatestOptions): Promise<Weights>;
  lock(weights: Weights, lease: string, name: string, options: LockOptions): Promise<Lock>;
}

export interface LatestOptions {
  /** Milliseconds until ERR_CUDA_IPC_TIMEOUT when the owner does not answer; default 10,000. */
  timeout?: number;
  signal?: AbortSignal;
}

export interface ReleaseOptions {
  /**
   * What to wait for before the memory is unmapped: an event or a stream. Default: all of this process's work on
   * the devices. `null` waits for nothing: only when no work can be using the memory.
   */
  after?: After | null;
}

interface WeightsEvents {
  /** Another version of the set was published. These weights stay valid until released. */
  superseded: [{ set: string; version: string }];
  /** The set has gone back to this version: it is current again. */
  reinstated: [{ set: string; version: string }];
  /** The set was withdrawn. These weights stay valid until released. */
  retired: [{ set: string }];
  /** The connection to the owner is gone. Mapped memory stays valid. */
  ownerlost: [CudaIpcError | undefined];
  /**
   * After `ownerlost`: there is an owner again, the same one or another. `kept` says whether it counts this lease;
   * if not, it was not told of it by the owner before, and the memory stays valid all the same.
   */
  ownerfound: [{ owner: string; kept: boolean }];
}

/**
 * One lease on one version of a weight set, mapped into this process. Release it when done: `await using`,
 * `release()` or `dispose()`.
 */
export class Weights extends EventEmitter<WeightsEvents> implements AsyncDisposable {
  private readonly views = new Map<string, WeakRef<Tensor>>();

  /** @internal */
  constructor(
    private readonly attachment: Attachment,
    readonly access: Access,
    private readonly service: LeaseService,
  ) {
    super();
  }

  /** The name of the weight set. */
  get name(): string {
    return this.attachment.version.set;
  }

  /** The version: `{ id, number }`. The number counts up from 1 within the set. */
  get version(): { readonly id: string; readonly number: number } {
    const { id, number } = this.attachment.version;
    return { id, number };
  }

  get sharing(): "vmm" | "ipc" {
    return this.attachment.version.sharing;
  }

  /**
   * The identity of the content: 32 hex characters, computed on the device when the version was loaded. Equal for
   * equal tensors with equal bytes.
   */
  get checksum(): string {
    return this.attachment.version.checksum;
  }

  /** Bytes of device memory mapped for these weights, in slabs. */
  get bytes(): number {
    return this.attachment.slabs.reduce((sum, slab) => sum + slab.bytes, 0);
  }

  /** Ordinals, in this process, of the devices the weights are on. */
  get devices(): number[] {
    return [...new Set(this.attachment.slabs.map((slab) => slab.device))];
  }

  get size(): number {
    return this.attachment.tensors.size;
  }

  names(): string[] {
    return this.attachment.tensors.names();
  }

  has(name: string): boolean {
    return this.attachment.tensors.has(name);
  }

  /** The tensor of that name. Throws ERR_CUDA_IPC_NO_TENSOR when there is none, ERR_CUDA_IPC_RELEASED after release. */
  tensor(name: string): Tensor {
    this.attachment.assertHeld();
    const known = this.views.get(name)?.deref();
    if (known !== undefined) return known;
    const entry = this.attachment.tensors.get(name);
    if (entry === undefined) {
      const some = this.names().slice(0, 5).join(", ");
      throw new CudaIpcError(
        "ERR_CUDA_IPC_NO_TENSOR",
        `The weights ${JSON.stringify(this.name)} have no tensor ${JSON.stringify(name)}. They have ${this.size}: ${some}${this.size > 5 ? ", ..." : ""}`,
      );
    }
    return this.view(entry);
  }

  *tensors(): IterableIterator<Tensor> {
    for (const entry of this.attachment.tensors.all()) {
      this.attachment.assertHeld();
      yield this.views.get(entry.name)?.deref() ?? this.view(entry);
    }
  }

  private view(entry: TensorEntry): Tensor {
    const tensor = new Tensor(this, this.attachment, entry);
    this.views.set(entry.name, new WeakRef(tensor));
    return tensor;
  }

  /**
   * Reads all of the memory on its devices and computes its identity anew: equal to `checksum` unless the content
   * was changed (a writable version) or damaged.
   */
  async computeChecksum(): Promise<string> {
    const checksums = await this.attachment.use(() =>
      Promise.all(
        this.attachment
          .contents()
          .map(({ device, pointer, bytes }) => native.checksum(device, pointer, bytes)),
      ),
    );
    return later.identity().contentChecksum(this.attachment.tensors.all(), checksums);
  }

  /** The owner's count of leases on this version; `exact` is false while the owner is recovering. */
  refCount(): Promise<RefCount> {
    return this.service.refCount(this.attachment.version.id);
  }

  /**
   * The set's current version, with the same access: a lease of its own, to be released like any other, also when it is
   * on the version that these weights are. These weights stay what they are.
   *
   * Errors: as `attach`.
   */
  async latest(options: LatestOptions = {}): Promise<Weights> {
    checkOptions(options, ["timeout", "signal"]);
    const { timeout = 10_000, signal } = options;
    checkTimeout(timeout);
    checkSignal(signal)?.throwIfAborted();
    return this.service.latest(this.name, this.access, { timeout, signal });
  }

  /** One more lease of its own on the same version, without another mapping. */
  retain(): Promise<Weights> {
    return this.attachment.use(() => this.service.retain(this.attachment, this.access));
  }

  /**
   * Takes a named lock of this weight set, through its owner: first come, first served among all processes, and not
   * re-entrant. It holds across versions of the set, whoever has them mapped, and it is a convention: memory does not
   * refuse a write without it. Needs a version published with `writable: true`, mapped with any access.
   */
  async lock(name: string, options: LockOptions = {}): Promise<Lock> {
    later.lock().checkLockArguments(name, options);
    this.attachment.assertHeld();
    const { version, lease } = this.attachment;
    if (!version.writable) throw later.lockErrors().notLockable(version.set);
    return this.service.lock(this, lease, name, options);
  }

  /**
   * Waits for the work that uses the memory, unmaps it if no other lease of this process needs it, and ends the
   * lease, with the locks that were taken through it. Harmless when released already.
   */
  async release(options: ReleaseOptions = {}): Promise<void> {
    await this.attachment.end(later.after().readAfter(options));
  }

  /** The same as `release()`. */
  dispose(): Promise<void> {
    return this.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  /** Whether the weights were released. */
  get disposed(): boolean {
    return this.attachment.ended;
  }

  /** @internal */
  [inspect.custom](depth: number | null, options: InspectOptionsStylized): string {
    const { name, sharing, access, size: tensors, bytes, disposed } = this;
    return later
      .summary()
      .summary(
        "Weights",
        { name, version: this.version.number, sharing, access, tensors, bytes, disposed },
        depth,
        options,
      );
  }
}
