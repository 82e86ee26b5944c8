import { type DeviceFacts, type NativeCancel, type NativeSlab, native, type Sharing } from "../native.js";
import { allOf } from "./all-of.js";
import { compareWithSources } from "./compare.js";
import { closeSlab, type OwnedSlab } from "./owned-slab.js";
import type { SlabPlan } from "./plan.js";
import type { ReadingOptions } from "./reading.js";

/** What a load has got done so far. */
export interface FillProgress {
  /** Bytes on the device so far. */
  bytes: number;
  /** Bytes per second since the copying began. */
  rate: number;
}

export interface FillOptions extends ReadingOptions {
  sharing: Sharing;
  /** All of this process. */
  devices: readonly DeviceFacts[];
  /** Called once, while memory is being filled. What it throws ends that. */
  meanwhile?: () => void;
  /** Called when everything has been read. Where it rejects, that was in vain. */
  whenRead?: () => Promise<void>;
  onProgress?: (progress: FillProgress) => void;
  signal?: AbortSignal;
}

/** Memory that holds its content, and the device's checksum of that. */
export interface FilledSlab {
  slab: OwnedSlab;
  checksum: Buffer;
}

/**
 * Allocates, fills and checksums every slab of a plan in this process, from files by path or from memory. A failure
 * or an abort leaves nothing allocated.
 */
export async function fillSlabs(
  parts: (string | Uint8Array)[],
  plans: readonly SlabPlan[],
  options: FillOptions,
): Promise<FilledSlab[]> {
  const { signal } = options;
  signal?.throwIfAborted();
  const cancel = native.createCancel();
  const abort = () => cancel.cancel();
  signal?.addEventListener("abort", abort, { once: true });
  const progress = new ProgressMeter(options.onProgress);
  const filled: FilledSlab[] = [];
  const unmapping: Promise<void>[] = [];
  let { meanwhile } = options;
  try {
    for (const plan of plans) {
      const { memory, ...each } = await fillSlab(parts, plan, { ...options, meanwhile }, cancel, progress);
      filled.push(each);
      if (options.sharing === "vmm") {
        const unmapped = memory.close();
        // Waited for at the end, and until then nobody's concern.
        unmapped.catch(() => {});
        unmapping.push(unmapped);
      }
      meanwhile = undefined;
      signal?.throwIfAborted();
    }
    await allOf([options.whenRead?.(), ...unmapping]);
    signal?.throwIfAborted();
    return filled;
  } catch (error) {
    await Promise.allSettled(unmapping);
    await Promise.all(filled.map(({ slab }) => closeSlab(slab)));
    // The caller's own reason, as every aborted operation gives it.
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

async function fillSlab(
  parts: (string | Uint8Array)[],
  plan: SlabPlan,
  { sharing, devices, threads, io, verify, meanwhile }: FillOptions,
  cancel: NativeCancel,
  progress: ProgressMeter,
): Promise<FilledSlab & { memory: NativeSlab }> {
  const { device } = plan;
  const id = native.randomId();
  const memory = await native.createSlab({ id: Buffer.from(id, "hex"), device, bytes: plan.bytes, sharing });
  try {
    const base = memory.devicePointer;
    // Many small gaps: one pass over everything is quicker than a call for each.
    const gaps: SlabPlan["gaps"] = plan.gaps.length > 64 ? [[0, plan.bytes]] : plan.gaps;
    for (const [offset, bytes] of gaps) await native.memset(device, base + BigInt(offset), 0, 1, bytes);
    const loading = native.load({
      device,
      base,
      sources: parts,
      runs: plan.runs,
      threads,
      io,
      onProgress: progress.slab(),
      cancel,
      checksumBytes: plan.bytes,
    });
    try {
      meanwhile?.();
    } catch (error) {
      cancel.cancel();
      await loading.catch(() => {});
      throw error;
    }
    const { checksum } = await loading;
    if (verify) await compareWithSources(parts, plan, base, { threads, cancel });
    const facts = { id, device: devices[device]!.uuid, bytes: memory.bytes, sharing };
    const kept = sharing === "ipc" ? { allocation: memory } : { fd: memory.exportFd() };
    return { slab: { ...facts, ...kept }, checksum: checksum!, memory };
  } catch (error) {
    await memory.close();
    throw error;
  }
}

/** Adds the slabs' progress up. */
class ProgressMeter {
  private readonly started = process.hrtime.bigint();
  private done = 0;

  constructor(private readonly report: ((progress: FillProgress) => void) | undefined) {}

  slab(): ((bytes: number) => void) | undefined {
    const { report } = this;
    if (report === undefined) return undefined;
    const before = this.done;
    return (bytes) => {
      this.done = before + bytes;
      const seconds = Number(process.hrtime.bigint() - this.started) / 1e9;
      report({ bytes: this.done, rate: this.done / Math.max(seconds, 1e-9) });
    };
  }
}
