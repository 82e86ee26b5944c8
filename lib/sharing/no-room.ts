import { CudaIpcError } from "../errors.js";
import type { CatalogEntry } from "./catalog.js";

/** For a load that found no room beside what the owner has: says what that is, and that it is unharmed. */
export function explainNoRoom(error: unknown, set: string, versions: readonly CatalogEntry[]): unknown {
  if (!(error instanceof CudaIpcError) || error.code !== "ERR_CUDA_IPC_OUT_OF_MEMORY") return error;
  if (versions.length === 0) return error;
  const heldBytes = versions.reduce((sum, { bytes }) => sum + bytes, 0);
  const { code, cudaResult, cudaName, call, details } = error;
  return new CudaIpcError(
    code,
    `${error.message} This owner holds ${heldBytes} bytes in ${versions.map(name).join(", ")}, which stay as they are. A new version of ${JSON.stringify(set)} needs room beside the old ones: release or unpin those, or retire the set first.`,
    { ...{ cudaResult, cudaName, call, cause: error }, details: { ...details, heldBytes } },
  );
}

function name({ set, number }: CatalogEntry): string {
  return `version ${number} of ${JSON.stringify(set)}`;
}
