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

/**
 * Makes the socket's folder where it is missing (0700, or as wide as the socket itself must be reached), and refuses
 * one in which somebody else could replace the socket.
 */
export async function prepareSocketFolder(socket: string, mode: number): Promise<void> {
  const folder = path.dirname(socket);
  // Whoever may use the socket must be able to pass through its folder: every read bit also grants search.
  const folderMode =
    0o700 | ((mode & 0o066) === 0 ? 0 : (mode & 0o060 ? 0o050 : 0) | (mode & 0o006 ? 0o005 : 0));
  // Loaded where it is needed: a worker makes none.
  const { makeFolder } = require("./make-folder.js") as typeof import("./make-folder.js");
  await makeFolder(folder, folderMode);
  const facts = await fs.lstat(folder);
  const uid = process.getuid?.() ?? 0;
  const trusted = facts.uid === uid || facts.uid === 0;
  const sticky = (facts.mode & 0o1000) !== 0;
  if (!facts.isDirectory() || !trusted || ((facts.mode & 0o022) !== 0 && !sticky)) {
    throw new CudaIpcError(
      "ERR_CUDA_IPC_SOCKET_FOLDER",
      `Others can replace files in ${folder} (mode ${(facts.mode & 0o7777).toString(8)}, uid ${facts.uid}): a socket there could be anybody's. Choose a folder of your own with mode 0700.`,
      { details: { folder, mode: facts.mode & 0o7777, uid: facts.uid } },
    );
  }
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
