import { CudaIpcError } from "../errors.js";
import type { NativeEvent, NativeFd, NativeMapping, NativeStream, Sharing } from "../native.js";
import { later } from "./later.js";
import type { TensorList } from "./tensor-list.js";

/** What a worker knows of the version it holds. */
export interface VersionFacts {
  /** Random, 32 hex characters. */
  readonly id: string;
  readonly set: string;
  /** Counts up from 1 within a set. */
  readonly number: number;
  readonly sharing: Sharing;
  readonly writable: boolean;
  /** The identity of the content: 32 hex characters. Of a writable version: as it was published. */
  readonly checksum: string;
}

/** One slab as this process has it mapped. */
export interface AttachedSlab {
  readonly id: string;
  /** Ordinal in this process. */
  readonly device: number;
  /** The device's UUID. */
  readonly uuid: string;
  readonly bytes: number;
  readonly mapping: NativeMapping;
  /** Where it is mapped. */
  readonly pointer: bigint;
  /** `vmm`: kept open while the lease is held, so that the memory can be handed on to another owner. */
  readonly fd?: NativeFd;
  /** `ipc` */
  readonly handle?: Buffer;
}

/**
 * One lease and the mappings it stands for. It knows nothing of the Weights and Tensor objects in front of it,
 * so that those can be collected; whoever collects them finds the lease here.
 */
export class Attachment {
  /** A raw device pointer has left: nobody can tell any more when the memory is last used. */
  exposed = false;
  private ending: Promise<void> | undefined;
  private pending = 0;
  private idle: (() => void) | undefined;
  private readonly endings: (() => Promise<void>)[] = [];

  constructor(
    readonly lease: string,
    readonly version: VersionFacts,
    readonly slabs: readonly AttachedSlab[],
    readonly tensors: TensorList,
    /** Tells the owner; called once, after the memory is unmapped. */
    private readonly onEnd: (lease: string) => Promise<void>,
  ) {}

  get ended(): boolean {
    return this.ending !== undefined;
  }

  /** The ranges of device memory that the version's identity covers, slab by slab. */
  contents(): { device: number; pointer: bigint; bytes: number }[] {
    const { contentBytes } = later.identity();
    const tensors = this.tensors.all();
    return this.slabs.map(({ device, pointer }, index) => ({
      device,
      pointer,
      bytes: contentBytes(tensors, index),
    }));
  }

  /** Whether the memory can be handed on to another owner. */
  get portable(): boolean {
    return this.slabs.every(({ fd }) => fd !== undefined && fd.fd >= 0);
  }

  assertHeld(): void {
    if (!this.ended) return;
    const { set, number } = this.version;
    throw new CudaIpcError(
      "ERR_CUDA_IPC_RELEASED",
      `The weights ${JSON.stringify(set)} (version ${number}) were released: their memory is not mapped here any more. ` +
        "Attach again, or release later.",
    );
  }

  /** Runs an operation on the memory; the end of the lease waits for it. */
  async use<T>(operation: () => Promise<T>): Promise<T> {
    this.assertHeld();
    this.pending++;
    try {
      return await operation();
    } finally {
      if (--this.pending === 0) this.idle?.();
    }
  }

  /** Has something freed at the lease's end, when nothing uses the memory any more. */
  beforeEnd(ending: () => Promise<void>): void {
    this.endings.push(ending);
  }

  /** Unmaps when the work that `after` stands for is done, then ends the lease. A second call changes nothing. */
  end(after?: NativeStream | NativeEvent | null): Promise<void> {
    this.ending ??= this.finish(after);
    return this.ending;
  }

  /** Lets go of it where no lease was granted: the owner knows nothing of it. */
  async undo(): Promise<void> {
    this.ending ??= Promise.resolve();
    await this.letGo(null);
  }

  private async finish(after?: NativeStream | NativeEvent | null): Promise<void> {
    if (this.pending > 0) {
      await new Promise<void>((resolve) => {
        this.idle = resolve;
      });
    }
    const closed = await this.letGo(after);
    await this.onEnd(this.lease);
    const failed = closed.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  private async letGo(after?: NativeStream | NativeEvent | null): Promise<PromiseSettledResult<void>[]> {
    const closed = await Promise.allSettled([
      ...this.endings.map((ending) => ending()),
      ...this.slabs.map((slab) => slab.mapping.close(after)),
    ]);
    await Promise.all(this.slabs.map(({ fd }) => fd?.dispose()));
    return closed;
  }
}
