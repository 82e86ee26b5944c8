import { expect, test } from "vitest";
import { alternate } from "../../dist/bench/common/alternate.js";

test.each([2, 3, 4])("each of %i sides is first, last and in between equally often", async (count) => {
  const turns: number[] = [];
  const sides = Array.from({ length: count }, (_, side) => async () => turns.push(side));
  const rounds: number[] = [];
  await alternate(2 * count, sides, (round) => rounds.push(round));
  expect(rounds).toEqual(Array.from({ length: 2 * count }, (_, round) => round));
  for (let place = 0; place < count; place++) {
    const there = turns.filter((_, i) => i % count === place);
    expect(there.sort()).toEqual([...sides.keys(), ...sides.keys()].sort());
  }
});
