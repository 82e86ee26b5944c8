import { CudaIpcError } from "../errors.js";
import { loadApart } from "./apart.js";
import { loadInline } from "./inline.js";
import type { LoadedSlabs, LoaderOptions } from "./loaded.js";
import { LoaderProcess } from "./process.js";
import { checkReading } from "./reading.js";
import { checkSharing } from "./sharing.js";
import type { WeightsInput } from "./source.js";

/** "process": in a short-lived process, where the sharing allows. "inline": in this one. */
export type Loading = "process" | "inline";

/**
 * Allocates, fills and checksums a version's memory. `ipc` memory needs a CUDA context of this process, which holds it;
 * `vmm` memory does not, and is loaded by a process of its own unless `loading` is "inline".
 */
export async function loadWeights(
  input: WeightsInput,
  { loading, ...options }: LoaderOptions & { loading: Loading },
): Promise<LoadedSlabs> {
  const { sharing } = options;
  checkSharing(sharing);
  checkReading(options);
  if (sharing === "ipc" || loading === "inline") return loadInline(input, options);
  try {
    return await loadApart(input, options);
  } catch (error) {
    // Only that process has asked the devices.
    const unsupported = error instanceof CudaIpcError && error.code === "ERR_CUDA_IPC_NO_VMM";
    if (sharing === "vmm" || !unsupported) throw error;
    return loadInline(input, { ...options, sharing: "ipc" });
  }
}

/** Settles when no process that has loaded is left: each takes device memory for its context until it is gone. */
export function loadersGone(): Promise<void> {
  return LoaderProcess.settled();
}
