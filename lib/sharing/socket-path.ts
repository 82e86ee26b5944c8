import { promises as fs } from "node:fs";
import os from "node:os";
import path from "node:path";
import { CudaIpcError, invalidArgument } from "../errors.js";

/** The kernel's limit on a Unix socket's path, without the terminating zero. */
export const longestSocketPath = 107;

/**
 * Where owner and workers meet when no `socket` is given: $CUDA_IPC_SOCKET, else cuda-ipc/owner.sock in
 * $XDG_RUNTIME_DIR, else in a folder of the user's own in the temporary directory.
 */
export function defaultSocket(): string {
  const { CUDA_IPC_SOCKET: named, XDG_RUNTIME_DIR: runtime } = process.env;
  if (named) return named;
  // Its specification has one that is relative ignored: it would be another one in every folder.
  if (runtime && path.isAbsolute(runtime)) return path.join(runtime, "cuda-ipc", "owner.sock");
  return path.join(os.tmpdir(), `cuda-ipc-${process.getuid?.()}`, "owner.sock");
}

/** The recovery journal of the owner that listens on a socket. */
export function journalPath(socket: string): string {
  return `${socket}.journal`;
}

/** The absolute path of a socket; ERR_CUDA_IPC_SOCKET_PATH when the kernel could not take it. */
export function resolveSocket(socket: string = defaultSocket()): string {
  if (typeof socket !== "string" || socket === "" || socket.includes("\0")) {
    throw invalidArgument("socket", "the path of a Unix socket", socket);
  }
  const resolved = path.resolve(socket);
  const bytes = Buffer.byteLength(resolved);
  if (bytes > longestSocketPath) {
    throw new CudaIpcError(
      "ERR_CUDA_IPC_SOCKET_PATH",
      `The socket path has ${bytes} bytes, and the kernel takes at most ${longestSocketPath}: ${resolved}. Choose a shorter one, for example under /run or $XDG_RUNTIME_DIR.`,
      { details: { path: resolved, bytes, limit: longestSocketPath } },
    );
  }
  return resolved;
}

/** Removes the socket file of an owner that died. Refuses to remove anything else. Only for whoever has the lock. */
export async function removeStaleSocket(socket: string): Promise<void> {
  try {
    const facts = await fs.lstat(socket);
    if (!facts.isSocket()) throw notASocket(socket);
    await fs.unlink(socket);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

function notASocket(file: string): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_SOCKET_PATH",
    `There is something at ${file} that is not a socket, and it is not removed. Choose another path, or remove it.`,
    { details: { path: file } },
  );
}
