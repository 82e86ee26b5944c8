import type { NativeFd, NativeSlab, Sharing } from "../native.js";

/**
 * What an owner keeps of one slab of a version. A `vmm` slab is its descriptor and nothing else: no mapping, no
 * CUDA context. An `ipc` slab is the allocation itself, which dies with this process.
 */
export interface OwnedSlab {
  /** Random, 32 hex characters: names this memory for good. */
  readonly id: string;
  /** The device's UUID. */
  readonly device: string;
  readonly bytes: number;
  readonly sharing: Sharing;
  /** `vmm` */
  readonly fd?: NativeFd;
  /** `ipc` */
  readonly allocation?: NativeSlab;
}

/** Lets go of a slab: `vmm` memory lives on while anybody else holds it, `ipc` memory is freed. */
export async function closeSlab(slab: OwnedSlab): Promise<void> {
  await slab.fd?.dispose();
  await slab.allocation?.close();
}
