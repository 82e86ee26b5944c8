// Tensors of one version on several devices, by a loader process as in this one.
import "../helpers/on-host-driver.js";
import { expect, test } from "vitest";
import { loadersGone, loadWeights } from "../../dist/lib/loading/load.js";
import { closeSlab } from "../../dist/lib/loading/owned-slab.js";

const numbers = (bytes: number) => new Uint8Array(bytes).map((_, index) => (index * 31 + (index >> 8)) & 255);

test("tensors are placed on several devices", async () => {
  const input = { a: numbers(3 << 20), b: numbers(300), c: numbers(5000) };
  const device = ({ name }: { name: string }) => (name === "b" ? 1 : 0);
  const apart = await loadWeights(input, { loading: "process", device });
  const here = await loadWeights(input, { loading: "inline", device });
  expect(apart.slabs.map((slab) => slab.device)).toEqual(here.slabs.map((slab) => slab.device));
  expect(apart.slabs).toHaveLength(2);
  expect(apart.checksum).toBe(here.checksum);
  await Promise.all([...here.slabs, ...apart.slabs].map(closeSlab));
  await loadersGone();
});
