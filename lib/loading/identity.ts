import { crypto } from "../crypto.js";
import { defaultAlignment } from "../formats/layout.js";
import type { TensorEntry } from "./plan.js";

/** How many bytes of a slab count as content: up to the aligned end of its last tensor, and at least 1. */
export function contentBytes(tensors: Iterable<TensorEntry>, slab: number): number {
  let end = 0;
  for (const tensor of tensors) {
    if (tensor.slab === slab) end = Math.max(end, tensor.offset + tensor.bytes);
  }
  return Math.max(Math.ceil(end / defaultAlignment) * defaultAlignment, 1);
}

/**
 * The identity of a version's content, as 32 hex characters: a digest over every tensor's name, dtype, shape and
 * place, and over the 128-bit checksums of its slabs as the device computed them. Two versions with the same one
 * hold the same tensors with the same bytes; the same shapes with other bytes give another one.
 */
export function contentChecksum(tensors: readonly TensorEntry[], slabChecksums: readonly Buffer[]): string {
  return new ContentIdentity(tensors).of(slabChecksums);
}

/** The same in two steps: what the tensors say of it can be made before their bytes are there. */
export class ContentIdentity {
  private readonly hash = crypto().createHash("sha256");

  constructor(tensors: readonly TensorEntry[]) {
    for (const { name, dtype, shape, slab, offset } of tensors) {
      this.hash.update(JSON.stringify([name, dtype, shape, slab, offset]));
    }
  }

  /** For one use. */
  of(slabChecksums: readonly Buffer[]): string {
    for (const checksum of slabChecksums) this.hash.update(checksum);
    return this.hash.digest("hex").slice(0, 32);
  }
}
