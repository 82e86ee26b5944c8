import { CudaIpcError } from "../errors.js";
import { type Dtype, isDtype, tensorBytes } from "../formats/dtypes.js";
import type { TensorEntry } from "../loading/plan.js";
import type { ManifestTensor } from "../wire/manifest.js";

/**
 * Holds a manifest that came over the wire against the slabs that came with it: every tensor is of a known dtype,
 * has the size that its shape says, and lies within its slab, so that no view can reach beyond the memory.
 */
export function checkManifest(
  tensors: readonly ManifestTensor[],
  slabs: readonly { bytes: number }[],
): Map<string, TensorEntry> {
  const entries = new Map<string, TensorEntry>();
  for (const tensor of tensors) {
    const { name, dtype, shape, slab, offset, bytes } = tensor;
    const room = slabs[slab]?.bytes;
    const broken =
      (entries.has(name) && "its name is there twice") ||
      (!isDtype(dtype) && `its dtype ${JSON.stringify(dtype)} is not known`) ||
      (tensorBytes(dtype as Dtype, shape) !== bytes && `its ${bytes} bytes do not fit its dtype and shape`) ||
      (room === undefined && `there is no slab ${slab}`) ||
      (offset + bytes > room! && `it ends ${offset + bytes - room!} bytes behind its slab`);
    if (broken) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_PROTOCOL",
        `The owner's manifest is broken: tensor ${JSON.stringify(name)}: ${broken}.`,
        { details: { tensor: name } },
      );
    }
    entries.set(name, tensor as TensorEntry);
  }
  return entries;
}
