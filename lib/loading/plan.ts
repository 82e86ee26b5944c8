import { CudaIpcError, invalidArgument } from "../errors.js";
import type { Dtype } from "../formats/dtypes.js";
import { layoutSlab } from "../formats/layout.js";
import type { TensorSource } from "../formats/safetensors.js";
import { hasUtf8Form } from "../formats/text.js";
import type { LoadRun } from "../native.js";
import type { ManifestTensor } from "../wire/manifest.js";
import type { WeightsSource } from "./source.js";

/** Chooses a device (an ordinal of this process) for each tensor. */
export type Placement = number | ((tensor: TensorSource) => number);

/** One tensor of a version: what it is, and where in which slab it lies. */
export interface TensorEntry extends ManifestTensor {
  readonly dtype: Dtype;
}

/** One slab to be allocated and filled. */
export interface SlabPlan {
  /** Ordinal in this process. */
  device: number;
  /** At least 1: an allocation cannot be empty. */
  bytes: number;
  runs: LoadRun[];
  /** What no tensor covers, as [offset, bytes]: zeroed, so that the checksum depends on the content alone. */
  gaps: [offset: number, bytes: number][];
}

export interface LoadPlan {
  slabs: SlabPlan[];
  /** In the source's order; `slab` is an index into `slabs`. */
  tensors: TensorEntry[];
}

/** Lays the source's tensors out: one slab for each device, because one large slab attaches fastest. */
export function planLoad(
  source: Pick<WeightsSource, "tensors" | "description">,
  placement: Placement = 0,
): LoadPlan {
  if (source.tensors.length === 0) {
    throw new CudaIpcError(
      "ERR_CUDA_IPC_EMPTY",
      `${source.description} holds no tensors: there is nothing to publish`,
    );
  }
  const byDevice = new Map<number, TensorSource[]>();
  const slabOf = new Map<TensorSource, number>();
  for (const tensor of source.tensors) {
    // Workers know names by their UTF-8 form.
    if (!hasUtf8Form(tensor.name)) {
      throw invalidArgument("the name of a tensor", "a string without unpaired surrogates", tensor.name);
    }
    const device = typeof placement === "function" ? placement(tensor) : placement;
    if (!Number.isSafeInteger(device) || device < 0) {
      throw invalidArgument("device", "the ordinal of a device", device);
    }
    const group = byDevice.get(device) ?? [];
    if (group.length === 0) byDevice.set(device, group);
    group.push(tensor);
    slabOf.set(tensor, [...byDevice.keys()].indexOf(device));
  }
  const offsets: Map<string, number>[] = [];
  const slabs = [...byDevice].map(([device, tensors]): SlabPlan => {
    const layout = layoutSlab(tensors);
    offsets.push(layout.placements);
    const bytes = Math.max(layout.bytes, 1);
    return { device, bytes, runs: layout.runs, gaps: gapsBetween(layout.runs, bytes) };
  });
  const tensors = source.tensors.map((tensor): TensorEntry => {
    const slab = slabOf.get(tensor)!;
    const { name, dtype, shape, bytes } = tensor;
    return { name, dtype, shape, slab, offset: offsets[slab]!.get(name)!, bytes };
  });
  return { slabs, tensors };
}

/** Bytes of all tensors together. */
export function totalBytes(plan: LoadPlan): number {
  return plan.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
}

function gapsBetween(runs: readonly LoadRun[], end: number): [number, number][] {
  const gaps: [number, number][] = [];
  let covered = 0;
  for (const run of runs) {
    if (run.target > covered) gaps.push([covered, run.target - covered]);
    covered = run.target + run.bytes;
  }
  if (end > covered) gaps.push([covered, end - covered]);
  return gaps;
}
