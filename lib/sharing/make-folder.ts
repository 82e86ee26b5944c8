import { promises as fs } from "node:fs";
import path from "node:path";
import { CudaIpcError } from "../errors.js";

/**
 * Makes the folder and those above it that are missing, one by one: Node's own recursive mkdir never returns where a
 * folder that is there has room for none, as in /proc.
 */
export async function makeFolder(folder: string, mode: number): Promise<void> {
  try {
    await makeFrom(folder, mode);
    // What is there may be no folder, or a link to nothing.
    await fs.stat(`${folder}/.`);
  } catch (cause) {
    throw refused(folder, cause as NodeJS.ErrnoException);
  }
}

async function makeFrom(folder: string, mode: number): Promise<void> {
  if (await made(folder, mode)) return;
  await makeFrom(path.dirname(folder), mode);
  // The one above is there: what is missing now cannot be made.
  await fs.mkdir(folder, { mode }).catch(unlessThere);
}

/** False where the folder above is missing. */
async function made(folder: string, mode: number): Promise<boolean> {
  try {
    await fs.mkdir(folder, { mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT")
      return unlessThere(error as NodeJS.ErrnoException);
    // A folder without another one above it is there.
    if (folder === path.dirname(folder)) throw error;
    return false;
  }
  return true;
}

function unlessThere(error: NodeJS.ErrnoException): true {
  if (error.code === "EEXIST") return true;
  throw error;
}

function refused(folder: string, cause: NodeJS.ErrnoException): CudaIpcError {
  const permission = cause.code === "EACCES" || cause.code === "EPERM";
  return new CudaIpcError(
    permission ? "ERR_CUDA_IPC_PERMISSION" : "ERR_CUDA_IPC_SYSTEM",
    `The socket's folder ${folder} cannot be made: ${cause.message}. ` +
      `${permission ? "Run as a user who may, or choose" : "Choose"} another folder for the socket.`,
    { errno: cause.errno && Math.abs(cause.errno), call: cause.syscall, details: { folder }, cause },
  );
}
