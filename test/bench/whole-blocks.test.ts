import { expect, test } from "vitest";
import { wholeBlocks } from "../../dist/bench/measures/whole-blocks.js";

const block = 2 * 2 ** 20;

test.each([
  [1, block],
  [block, block],
  [block + 1, 2 * block],
  [7_241_736_192, 3454 * block],
])("peers allocate %i bytes as %i", (bytes, allocated) => {
  expect(wholeBlocks(bytes)).toBe(allocated);
});
