import { constants, promises as fs } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { CudaIpcError } from "../errors.js";
import { refusal } from "./rules.js";

/** The reference implementation's limit on headers, against files made to exhaust memory. */
export const maxHeaderBytes = 100_000_000;

/** The header of several hundred tensors. */
const firstRead = 64 << 10;

export interface OpenedFile {
  path: string;
  handle: FileHandle;
  size: number;
  /**
   * Changes when the file is replaced or rewritten: device, inode, size, and both times in nanoseconds. The
   * change time is there because inodes are reused and tools that copy set the modification time back.
   */
  identity: string;
}

/**
 * Opens an ordinary file (or a symbolic link to one) and closes it again: `read` has it open, `use` what was read, while
 * it is being closed.
 */
export async function withFile<R, T>(
  path: string,
  read: (file: OpenedFile) => Promise<R>,
  use: (content: R, file: OpenedFile) => T,
): Promise<T> {
  // Without O_NONBLOCK the opening of a FIFO waits for a writer, on one of libuv's four threads.
  const handle = await fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause) => {
    throw fileFailure(path, "open", cause);
  });
  let closing: Promise<void> | undefined;
  try {
    const facts = await handle.stat({ bigint: true });
    if (!facts.isFile()) throw refusal("ordinary-file", path, "this is not an ordinary file");
    const identity = `${facts.dev}:${facts.ino}:${facts.size}:${facts.mtimeNs}:${facts.ctimeNs}`;
    const file = { path, handle, size: Number(facts.size), identity };
    const content = await read(file);
    closing = handle.close();
    return use(content, file);
  } finally {
    await (closing ?? handle.close());
  }
}

/**
 * The file's identity now. It is opened for that, although its name would do: on a network, opening is what asks the
 * server, and not what this machine remembers.
 */
export function identityOf(path: string): Promise<string> {
  return withFile(
    path,
    async () => {},
    (_, file) => file.identity,
  );
}

/** Reads `bytes` bytes, or fewer where the file ends early. */
export async function readAt(file: OpenedFile, position: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(bytes);
  return buffer.subarray(0, await readInto(file, position, buffer));
}

/** Fills the buffer, as far as the file goes; returns how many bytes that were. */
async function readInto(file: OpenedFile, position: number, buffer: Buffer): Promise<number> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.handle
      .read(buffer, filled, buffer.length - filled, position + filled)
      .catch((cause) => {
        throw fileFailure(file.path, "read", cause);
      });
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

/** Reads the header's bytes; they begin behind the 8 bytes of their own length. */
export async function readHeader(file: OpenedFile): Promise<Buffer> {
  // All of most headers come with their length. 8 bytes also of a file that says it has none: some systems' do.
  const first = await readAt(file, 0, Math.max(Math.min(file.size, firstRead), 8));
  if (first.length < 8) {
    throw refusal(
      "header-length",
      file.path,
      `the file has ${first.length} bytes, but 8 hold the header's length`,
    );
  }
  const length = first.readBigUInt64LE();
  if (length > maxHeaderBytes) {
    const why = `the header claims ${length} bytes, above the limit of ${maxHeaderBytes}; is this a safetensors file?`;
    throw refusal("header-too-large", file.path, why);
  }
  const left = file.size - 8;
  // Compared before anything is allocated for it.
  const header = length > left ? undefined : await readBehind(file, first, 8, Number(length));
  if (header === undefined || header.length < length) {
    throw refusal(
      "header-truncated",
      file.path,
      `the header claims ${length} bytes, but only ${left} follow`,
    );
  }
  return header;
}

/** As `readAt`, of a file whose first bytes are known. */
async function readBehind(file: OpenedFile, first: Buffer, position: number, bytes: number): Promise<Buffer> {
  const known = first.subarray(position, position + bytes);
  if (known.length === bytes) return known;
  const buffer = Buffer.allocUnsafe(bytes);
  known.copy(buffer);
  const read = await readInto(file, position + known.length, buffer.subarray(known.length));
  return buffer.subarray(0, known.length + read);
}

const advice: Readonly<Record<string, string>> = {
  ENOENT: "There is nothing of that name: check the path.",
  EACCES: "This user may not: check the permissions of the file and of its folders.",
  ENOTDIR: "Something on the way to it is no folder: check the path.",
  ELOOP: "Its symbolic links go round in a circle: check where they lead.",
  ENOSPC: "The disk is full: make room, or choose another one.",
  EMFILE: "This process has no more file descriptors: raise the limit (ulimit -n).",
  ENFILE: "The system has no more file descriptors.",
};

/** Says what the system refused to do with a file. */
export function fileFailure(path: string, call: string, cause: NodeJS.ErrnoException): CudaIpcError {
  const errno = cause.errno === undefined ? undefined : Math.abs(cause.errno);
  const reason = cause.code ?? "";
  const limit = reason === "EMFILE" || reason === "ENFILE";
  return new CudaIpcError(
    limit ? "ERR_CUDA_IPC_FD_LIMIT" : "ERR_CUDA_IPC_FILE",
    `${path}: ${call} failed${advice[reason] ? ` (${reason}). ${advice[reason]}` : `: ${cause.message}`}`,
    { errno, call, details: { path }, cause },
  );
}
