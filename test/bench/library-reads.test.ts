import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { libraryReads } from "../../dist/bench/measures/library-reads.js";

const MiB = 2 ** 20;

test.each([
  [7_241_736_192, 16, { threads: 10, chunkBytes: 4 * MiB }],
  [7_241_736_192, 4, { threads: 4, chunkBytes: 4 * MiB }],
  [7_241_736_192, 1, { threads: 2, chunkBytes: 4 * MiB }],
  [320 * MiB, 16, { threads: 10, chunkBytes: 4 * MiB }],
  [320 * MiB - 1, 16, { threads: 10, chunkBytes: 2 * MiB }],
])("%i bytes on %i CPUs are read as the library reads them", (bytes, cpus, expected) => {
  expect(libraryReads(bytes, cpus)).toEqual(expected);
});

test("the rule is still that of the library", () => {
  const source = (name: string) => readFileSync(path.join(__dirname, "../../native/transfer", name), "utf8");
  const readers = source("chunk_readers.cc");
  for (const line of [
    "kMostThreads = 10;",
    "kLeastThreads = 2;",
    "kChunkOfFew = 2 << 20;",
    "kFew = 8;",
    "bytes / usual < kFew * most_threads(plan) ? kChunkOfFew : usual",
  ])
    expect(readers).toContain(line);
  expect(source("plan.h")).toContain("chunk_bytes = 4 << 20;");
});
