import type { Sharing } from "../native.js";
import type { FillProgress } from "./fill.js";
import type { OwnedSlab } from "./owned-slab.js";
import type { Placement, TensorEntry } from "./plan.js";
import type { ReadingOptions } from "./reading.js";

export interface LoadProgress extends FillProgress {
  /** Bytes of all tensors together. */
  totalBytes: number;
}

export interface LoaderOptions extends ReadingOptions {
  device?: Placement;
  /** Undefined: "vmm" where every device supports it, else "ipc". */
  sharing?: Sharing;
  onProgress?: (progress: LoadProgress) => void;
  /** Called with the version's tensors before all of them are there. What it throws fails the load. */
  onTensors?: (tensors: readonly TensorEntry[]) => void;
  signal?: AbortSignal;
}

/** A version's memory, filled and checksummed, not yet published. */
export interface LoadedSlabs {
  sharing: Sharing;
  slabs: OwnedSlab[];
  tensors: TensorEntry[];
  /** The identity of the content: 32 hex characters. */
  checksum: string;
  /** Where it came from, for people. */
  source: string;
  /** Of the files it came from: differs when anything about them was changed. Null for memory. */
  contentKey: string | null;
}
