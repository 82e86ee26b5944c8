import { writev } from "node:fs";
import { promisify } from "node:util";
import { fileFailure } from "../formats/file.js";
import { defaultAlignment } from "../formats/layout.js";
import type { TensorSource } from "../formats/safetensors.js";
import { type NativeFd, native } from "../native.js";
import type { WeightsSource } from "./source.js";

const batchBytes = 4 << 20;
const batchPieces = 1024;

/** Weights that another process can read: files by path, and what is in memory as one file in memory. */
export interface PortableSource extends Omit<WeightsSource, "parts"> {
  /** null: the file in memory. */
  readonly parts: (string | null)[];
  /** The content of that file, in pieces. */
  readonly memory: readonly Uint8Array[];
}

/** Addresses every tensor by where another process finds it. Copies nothing yet. */
export function makePortable(source: WeightsSource): PortableSource {
  const parts: (string | null)[] = source.parts.filter((part) => typeof part === "string");
  const memory: Uint8Array[] = [];
  let end = 0;
  const places = source.parts.map((part) => {
    if (typeof part === "string") return { file: parts.indexOf(part), start: 0 };
    const padding = -end & (defaultAlignment - 1);
    // Aligned as in a slab, so that what is contiguous there is so here, and copied in one run.
    if (padding > 0) memory.push(new Uint8Array(padding));
    memory.push(part);
    const start = end + padding;
    end = start + part.byteLength;
    return { file: parts.length, start };
  });
  if (memory.length > 0) parts.push(null);
  const tensors = source.tensors.map((tensor): TensorSource => {
    const { file, start } = places[tensor.file]!;
    return { ...tensor, file, fileOffset: start + tensor.fileOffset };
  });
  return { ...source, parts, memory, tensors };
}

/** A file in memory with that content. Copied by the thread pool, piece by piece. */
export async function writeToMemory(pieces: readonly Uint8Array[], signal?: AbortSignal): Promise<NativeFd> {
  const file = native.createMemfd("cuda-ipc weights", 0);
  try {
    let position = 0;
    for (const batch of batches(pieces)) {
      signal?.throwIfAborted();
      position = await writeAll(file.fd, batch, position);
    }
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Small pieces together, large ones apart: each batch takes the thread pool a few milliseconds at most. */
function* batches(pieces: readonly Uint8Array[]): Generator<Uint8Array[]> {
  let batch: Uint8Array[] = [];
  let room = batchBytes;
  for (const piece of pieces) {
    for (let start = 0; start < piece.byteLength; ) {
      const taken = piece.subarray(start, start + room);
      batch.push(taken);
      start += taken.byteLength;
      room -= taken.byteLength;
      if (room > 0 && batch.length < batchPieces) continue;
      yield batch;
      batch = [];
      room = batchBytes;
    }
  }
  if (batch.length > 0) yield batch;
}

const write = promisify(writev) as (
  fd: number,
  buffers: readonly Uint8Array[],
  position: number,
) => Promise<{ bytesWritten: number }>;

/** Returns the position behind what was written. */
async function writeAll(fd: number, buffers: Uint8Array[], position: number): Promise<number> {
  let rest = buffers;
  let at = position;
  while (rest.length > 0) {
    const { bytesWritten } = await write(fd, rest, at).catch((cause) => {
      throw fileFailure("weights in memory", "pwritev", cause);
    });
    at += bytesWritten;
    rest = without(rest, bytesWritten);
  }
  return at;
}

/** What is left after the first bytes. */
function without(buffers: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let skip = bytes;
  return buffers.flatMap((buffer) => {
    const skipped = Math.min(skip, buffer.byteLength);
    skip -= skipped;
    return skipped === buffer.byteLength ? [] : [buffer.subarray(skipped)];
  });
}
