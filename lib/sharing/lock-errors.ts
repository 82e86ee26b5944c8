import { CudaIpcError } from "../errors.js";
import type { HeldLock, LockName } from "./lock-types.js";

export function lockTimeout(
  { set, name }: LockName,
  milliseconds: number,
  holder: HeldLock | undefined,
): CudaIpcError {
  const who =
    holder === undefined
      ? "the owner is recovering and grants none yet"
      : `process ${holder.process.pid} (${holder.process.command}) holds it`;
  return new CudaIpcError(
    "ERR_CUDA_IPC_LOCK_TIMEOUT",
    `The lock ${quoted(name)} of ${quoted(set)} was not granted within ${milliseconds} ms: ${who}.`,
    { details: { milliseconds, holder: holder?.process.pid ?? null, since: holder?.since ?? null } },
  );
}

export function lockLimit(scope: "process" | "owner", locks: number, limit: number): CudaIpcError {
  const whose = scope === "process" ? "This process holds and waits for" : "The owner keeps";
  return new CudaIpcError(
    "ERR_CUDA_IPC_LOCK_LIMIT",
    `${whose} ${locks} locks, and ${limit} is the limit. Release some, or raise the owner's limit.`,
    { details: { scope, locks, limit } },
  );
}

export function lockExists(lock: string): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_LOCK_EXISTS",
    `The lock id ${lock} is in use for something else. Lock ids must be random.`,
  );
}

export function lockForeign(lock: string): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_LOCK_FOREIGN",
    `The lock ${lock} belongs to another process, and only that process can release it.`,
  );
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
