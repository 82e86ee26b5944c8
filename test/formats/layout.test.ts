import path from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { layoutSlab, type Placeable } from "../../dist/lib/formats/layout.js";
import { openCheckpoint } from "../../dist/lib/formats/safetensors.js";
import { fixtures } from "./helpers.js";

/** Tensors of one file, gapless from `start`. */
function inFile(sizes: number[], start = 8, file = 0): Placeable[] {
  let fileOffset = start;
  return sizes.map((bytes, i) => {
    const tensor = { name: `${file}.${i}`, file, fileOffset, bytes };
    fileOffset += bytes;
    return tensor;
  });
}

test("sizes that are multiples of the alignment make one run", () => {
  const { bytes, placements, runs } = layoutSlab(inFile([256, 1024, 512]));
  expect(runs).toEqual([{ source: 0, offset: 8, bytes: 1792, target: 0 }]);
  expect([...placements.values()]).toEqual([0, 256, 1280]);
  expect(bytes).toBe(1792);
});

test("padding ends a run, and so do another file and a gap in the file", () => {
  const tensors = [...inFile([256, 100, 256, 256]), ...inFile([256], 8, 1)];
  tensors.push({ name: "behind a gap", file: 1, fileOffset: 8 + 256 + 256, bytes: 256 });
  expect(layoutSlab(tensors).runs).toEqual([
    { source: 0, offset: 8, bytes: 356, target: 0 },
    { source: 0, offset: 364, bytes: 512, target: 512 },
    { source: 1, offset: 8, bytes: 256, target: 1024 },
    { source: 1, offset: 520, bytes: 256, target: 1280 },
  ]);
});

test("empty tensors have an offset within the slab, no run, and part no run", () => {
  const { bytes, placements, runs } = layoutSlab(inFile([0, 256, 0, 256, 0]));
  expect(runs).toEqual([{ source: 0, offset: 8, bytes: 512, target: 0 }]);
  expect([...placements.values()]).toEqual([0, 0, 0, 256, 0]);
  expect(bytes).toBe(512);
  expect(layoutSlab(inFile([0]))).toMatchObject({ bytes: 0, runs: [] });
});

test("a name that comes twice and a senseless alignment are refused", () => {
  expect(() => layoutSlab([...inFile([1]), ...inFile([1])])).toThrow("one tensor of each name");
  for (const alignment of [0, -1, 1.5]) expect(() => layoutSlab([], alignment)).toThrow("alignment");
});

test("the real checkpoint needs fewer copies than it has tensors", async () => {
  const { tensors } = await openCheckpoint(path.join(fixtures, "llama-single"));
  expect(layoutSlab(tensors.values()).runs.length).toBeLessThan(tensors.size / 3);
});

const size = fc.oneof(
  fc.nat(2000),
  fc.nat(8).map((n) => n * 256),
);
const checkpoints = fc
  .array(fc.array(size, { maxLength: 12 }), { maxLength: 4 })
  .map((sizes) => sizes.flatMap((list, file) => inFile(list, 8 + 8 * file, file)));

test("any layout: aligned, without overlap, and the runs copy every byte once", () => {
  fc.assert(
    fc.property(checkpoints, fc.constantFrom(1, 64, 256, 4096), (tensors, alignment) => {
      const { bytes, placements, runs } = layoutSlab(tensors, alignment);
      expect(placements.size).toBe(tensors.length);
      expect(bytes % alignment).toBe(0);

      // What each byte of the slab is filled with: 1 + its place in the checkpoint's files, 0 for padding.
      const place = (file: number, offset: number) => 1 + file * 1e6 + offset;
      const slab = new Float64Array(bytes);
      let copied = 0;
      for (const { source, offset, bytes: length, target } of runs) {
        expect(slab.subarray(target, target + length).every((byte) => byte === 0)).toBe(true);
        for (let i = 0; i < length; i++) slab[target + i] = place(source, offset + i);
        copied += length;
      }
      for (const { name, file, fileOffset, bytes: length } of tensors) {
        const target = placements.get(name)!;
        expect(target % alignment).toBe(0);
        expect(target + length).toBeLessThanOrEqual(bytes);
        const filled = slab.subarray(target, target + length);
        expect(filled.every((byte, i) => byte === place(file, fileOffset + i))).toBe(true);
        copied -= length;
      }
      expect(copied).toBe(0);
    }),
    { numRuns: 40 },
  );
});
