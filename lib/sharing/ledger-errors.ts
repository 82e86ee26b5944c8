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

const listed = (sets: readonly string[]): string =>
  sets.length === 0 ? "It has none." : `It has ${sets.map((name) => JSON.stringify(name)).join(", ")}.`;

/** To whoever wants to attach: which sets there are instead. Of one that was withdrawn nobody remembers the name. */
export function noSet(set: string, known: readonly string[]): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_NO_SET",
    `This owner has no weight set ${JSON.stringify(set)}: it was never published there, or was withdrawn. ${listed(known)} Load it there, or attach to another name or socket.`,
    { details: { set, version: null, sets: known } },
  );
}

export function noVersion(set: string, version: string, known: readonly string[]): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_NO_VERSION",
    `This owner has no version ${version} of weight set ${JSON.stringify(set)}: it was never published here, or it has been freed. Attach without { version } to the current one; a pinned version is not freed.`,
    { details: { set, version, sets: known } },
  );
}
