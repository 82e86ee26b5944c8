import type { TensorEntry } from "../loading/plan.js";
import { type NativeFd, native } from "../native.js";
import { encodeManifest } from "../wire/manifest-file.js";

// Every version has a list of its own.
const files = new WeakMap<readonly TensorEntry[], NativeFd>();

/**
 * The file in memory that every worker is handed with the version: made when it is first asked for. To be closed with
 * the version's memory. ERR_CUDA_IPC_FD_LIMIT.
 */
export function manifestFile({ id, tensors }: { id: string; tensors: readonly TensorEntry[] }): NativeFd {
  let file = files.get(tensors);
  if (file === undefined) {
    file = native.createSealedMemfd(`cuda-ipc manifest ${id}`, encodeManifest(tensors));
    files.set(tensors, file);
  }
  return file;
}

/** Whoever has been handed it keeps it. Harmless where there is none. */
export function closeManifestFile({ tensors }: { tensors: readonly TensorEntry[] }): void {
  files.get(tensors)?.close();
  files.delete(tensors);
}
