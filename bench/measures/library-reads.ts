import os from "node:os";

const MiB = 2 ** 20;

/**
 * How `owner.load` reads so many bytes when nobody tells it to do otherwise: the rule of native/transfer/chunk_readers.cc,
 * for programs that are to read alike. `threads` can be told to a load, too; the size of its chunks cannot.
 */
export function libraryReads(
  bytes: number,
  cpus: number = os.availableParallelism(),
): { threads: number; chunkBytes: number } {
  const threads = Math.min(Math.max(cpus, 2), 10);
  const usual = 4 * MiB;
  return { threads, chunkBytes: Math.floor(bytes / usual) < 8 * threads ? 2 * MiB : usual };
}
