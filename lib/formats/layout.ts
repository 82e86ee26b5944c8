import { invalidArgument } from "../errors.js";
import type { LoadRun } from "../native.js";

/** What the layout needs to know of a tensor; `TensorSource` has it. */
export interface Placeable {
  name: string;
  /** Index of the file, or of another source, that holds the bytes. */
  file: number;
  fileOffset: number;
  bytes: number;
}

export interface SlabLayout {
  /** Bytes that the slab needs; a multiple of the alignment, 0 when every tensor is empty. */
  bytes: number;
  /** Tensor name -> offset in the slab. */
  placements: Map<string, number>;
  /** The copies that fill the slab: every byte of every tensor once, and nothing else. */
  runs: LoadRun[];
}

/** cudaMalloc's own alignment, which kernels and libraries may count on. */
export const defaultAlignment = 256;

/**
 * Places tensors one behind the other, each aligned, in the order given. What is contiguous in its file and
 * stays contiguous in the slab becomes one run: with the usual shapes, whose sizes are multiples of 256, that
 * is a whole file. Padding in the slab ends a run; it is never bridged by copying bytes that belong to no tensor.
 */
export function layoutSlab(tensors: Iterable<Placeable>, alignment = defaultAlignment): SlabLayout {
  if (!Number.isSafeInteger(alignment) || alignment < 1) {
    throw invalidArgument("alignment", "a positive integer", alignment);
  }
  const placements = new Map<string, number>();
  const runs: LoadRun[] = [];
  let end = 0;
  for (const { name, file, fileOffset, bytes } of tensors) {
    if (placements.has(name)) throw invalidArgument("tensors", "one tensor of each name", name);
    if (bytes === 0) {
      // Offset 0 lies within every slab; the one behind the last tensor might not be mapped.
      placements.set(name, 0);
      continue;
    }
    const target = Math.ceil(end / alignment) * alignment;
    end = target + bytes;
    if (!Number.isSafeInteger(end)) throw invalidArgument("tensors", "less than 2^53 bytes together", end);
    placements.set(name, target);
    const last = runs.at(-1);
    if (last !== undefined && continues(last, file, fileOffset, target)) last.bytes += bytes;
    else runs.push({ source: file, offset: fileOffset, bytes, target });
  }
  return { bytes: Math.ceil(end / alignment) * alignment, placements, runs };
}

function continues(run: LoadRun, file: number, fileOffset: number, target: number): boolean {
  return run.source === file && run.offset + run.bytes === fileOffset && run.target + run.bytes === target;
}
