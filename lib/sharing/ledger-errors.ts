import { CudaIpcError } from "../errors.js";
import type { ProcessRecord } from "./ledger-table.js";

export function checkHolder(holder: ProcessRecord, process: ProcessRecord, lease: string): void {
  if (holder === process) return;
  throw new CudaIpcError(
    "ERR_CUDA_IPC_LEASE_FOREIGN",
    `The lease ${lease} belongs to another process, and only that process can use it.`,
  );
}

export function invalidState(message: string): CudaIpcError {
  return new CudaIpcError("ERR_CUDA_IPC_INVALID_STATE", message);
}

export function unknownVersion(id: string): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_NO_VERSION",
    `There is no version ${id} to attach to: it was never published here, or it has been freed.`,
  );
}

export function unknownSet(set: string): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_NO_SET",
    `There is no published weight set ${JSON.stringify(set)} at this owner.`,
  );
}
