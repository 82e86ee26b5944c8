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

/** The owner has said nothing, not even that the time is up. */
export function lockUnanswered(name: string, milliseconds: number): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_LOCK_TIMEOUT",
    `The lock ${quoted(name)} was not granted within ${milliseconds} ms, and the owner did not say why: it is stopped, busy or gone.`,
    { details: { milliseconds, holder: null, since: null } },
  );
}

export function lockLost(name: string): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_LOCK_LOST",
    `A new owner knows nothing of the lock ${quoted(name)}: another process may hold it. Check what it protects and take it again.`,
  );
}

export function lockReleased(name: string): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_RELEASED",
    `The weights were released while this process waited for their lock ${quoted(name)}.`,
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

export function givenUp(lock: string): CudaIpcError {
  return new CudaIpcError("ERR_CUDA_IPC_LOCK_GIVEN_UP", `The request for the lock ${lock} was given up.`);
}

export function notLockable(set: string): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_NOT_WRITABLE",
    `This version of ${quoted(set)} was not published as writable: it never changes, so nothing in it needs a lock. Load it with { writable: true }.`,
  );
}

export function locksHeld(locks: readonly HeldLock[]): CudaIpcError {
  const named = locks.map(
    ({ set, name, process }) => `${quoted(name)} of ${quoted(set)} by process ${process.pid}`,
  );
  return new CudaIpcError(
    "ERR_CUDA_IPC_LOCKS_HELD",
    `Locks are held: ${named.join(", ")}. A later owner could grant them twice. Close without { locks: "refuse" } to wait for their release.`,
    { details: { locks: locks.length } },
  );
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
