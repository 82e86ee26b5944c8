import { type NativeCancel, type NativeSlab, native, type Sharing } from "../native.js";
import { contentChecksum } from "./identity.js";
import { randomId } from "./ids.js";
import type { TensorEntry } from "./manifest.js";
import type { LoadPlan, SlabPlan } from "./plan.js";
import { closeSlab, type OwnedSlab } from "./slab.js";
import type { WeightsSource } from "./source.js";

export interface LoadProgress {
  /** Bytes on the device so far. */
  bytes: number;
  /** Bytes of all tensors together. */
  totalBytes: number;
  /** Bytes per second since the load began. */
  rate: number;
}

export interface LoaderOptions {
  sharing: Sharing;
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
  /** Reader threads; default: what the machine repays. */
  threads?: number;
}

/** A version's memory, filled and checksummed, not yet published. */
export interface LoadedSlabs {
  slabs: OwnedSlab[];
  tensors: TensorEntry[];
  /** The identity of the content: 32 hex characters. */
  checksum: string;
  /** What was copied, and how long that took. */
  bytes: number;
  seconds: number;
}

/** Allocates, fills and checksums every slab of a plan in this process. A failure or an abort leaves nothing allocated. */
export async function loadSlabs(
  source: WeightsSource,
  plan: LoadPlan,
  options: LoaderOptions,
): Promise<LoadedSlabs> {
  const { signal } = options;
  signal?.throwIfAborted();
  const cancel = native.createCancel();
  const abort = () => cancel.cancel();
  signal?.addEventListener("abort", abort, { once: true });
  const progress = new ProgressMeter(plan, options.onProgress);
  const finished: OwnedSlab[] = [];
  try {
    const checksums: Buffer[] = [];
    for (const slabPlan of plan.slabs) {
      const { slab, checksum } = await loadSlab(source, slabPlan, options, cancel, progress);
      finished.push(slab);
      checksums.push(checksum);
      signal?.throwIfAborted();
    }
    await source.assertUnchanged(signal);
    const checksum = contentChecksum(plan.tensors, checksums);
    return {
      slabs: finished,
      tensors: plan.tensors,
      checksum,
      bytes: progress.total,
      seconds: progress.seconds,
    };
  } catch (error) {
    await Promise.all(finished.map(closeSlab));
    // The caller's own reason, as every aborted operation gives it.
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

async function loadSlab(
  source: WeightsSource,
  plan: SlabPlan,
  { sharing, threads }: LoaderOptions,
  cancel: NativeCancel,
  progress: ProgressMeter,
): Promise<{ slab: OwnedSlab; checksum: Buffer }> {
  const { device } = plan;
  const id = randomId();
  const uuid = (await native.devices())[device]?.uuid;
  const memory = await native.createSlab({ id: Buffer.from(id, "hex"), device, bytes: plan.bytes, sharing });
  try {
    const base = memory.devicePointer;
    // Many small gaps: one pass over everything is quicker than a call for each.
    const gaps: SlabPlan["gaps"] = plan.gaps.length > 64 ? [[0, plan.bytes]] : plan.gaps;
    for (const [offset, bytes] of gaps) await native.memset(device, base + BigInt(offset), 0, 1, bytes);
    await native.load({
      device,
      base,
      sources: source.parts,
      runs: plan.runs,
      threads,
      onProgress: progress.slab(),
      cancel,
    });
    const checksum = await native.checksum(device, base, plan.bytes);
    return { slab: await keep(memory, { id, device: uuid!, bytes: memory.bytes, sharing }), checksum };
  } catch (error) {
    await memory.close();
    throw error;
  }
}

async function keep(memory: NativeSlab, facts: Omit<OwnedSlab, "fd" | "allocation">): Promise<OwnedSlab> {
  if (facts.sharing === "ipc") return { ...facts, allocation: memory };
  const fd = memory.exportFd();
  await memory.close();
  return { ...facts, fd };
}

/** Adds the slabs' progress up. */
class ProgressMeter {
  readonly total: number;
  private readonly started = process.hrtime.bigint();
  private done = 0;

  constructor(
    plan: LoadPlan,
    private readonly report: ((progress: LoadProgress) => void) | undefined,
  ) {
    this.total = plan.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  }

  get seconds(): number {
    return Number(process.hrtime.bigint() - this.started) / 1e9;
  }

  slab(): ((bytes: number) => void) | undefined {
    const { report } = this;
    if (report === undefined) return undefined;
    const before = this.done;
    return (bytes) => {
      this.done = before + bytes;
      report({ bytes: this.done, totalBytes: this.total, rate: this.done / Math.max(this.seconds, 1e-9) });
    };
  }
}
