import { CudaIpcError } from "../errors.js";
import type { Version } from "./version.js";

/** What stands against closing an owner that is not to wait. */
export function leasesHeld(versions: readonly Version[]): CudaIpcError {
  const named = versions.map(
    ({ set, number, refCount }) => `${set} (version ${number}): ${refCount || "an attach under way"}`,
  );
  return new CudaIpcError(
    "ERR_CUDA_IPC_LEASES_HELD",
    `Leases are out on "ipc" versions, whose memory dies with this process: ${named.join(", ")}. Release them first, or close without { ipcLeases: "refuse" } to wait.`,
    { details: { leases: versions.reduce((sum, version) => sum + version.refCount, 0) } },
  );
}
