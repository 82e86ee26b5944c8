import path from "node:path";
import { expect, test } from "vitest";
import { findLayer, writeLayer } from "../../dist/examples/demo/layer-file.js";
import { findFaults, type Outcome } from "../../dist/examples/demo/outcome.js";
import { computeReferences, countWrong, makeInputs } from "../../dist/examples/demo/reference.js";
import { writeSafetensors } from "../../dist/lib/index.js";
import { temporaryFolder } from "../helpers/temporary.js";

const folder = temporaryFolder();

const good: Outcome = {
  driver: "host",
  sharing: "vmm",
  modelBytes: 100,
  workers: 3,
  requests: 10,
  wrongAnswers: 0,
  counter: 12,
  answered: 10,
  inFlightAtKill: 2,
  refCount: { attached: 3, afterKill: 2, afterRestart: 3, afterClose: 0 },
  reattachMs: 1,
  weightsChecksumEqualInAllWorkers: true,
  deviceMemory: { beforeBytes: 50, withWorkersBytes: 150, afterCloseBytes: 50 },
};

test("an outcome as promised has no faults", () => {
  expect(findFaults(good)).toEqual([]);
});

test.each<[string, Partial<Outcome>]>([
  ["a wrong answer", { wrongAnswers: 1 }],
  ["a request without an answer", { requests: 11 }],
  ["a count that was lost", { counter: 9 }],
  ["a count too many", { counter: 13 }],
  ["a lease that outlives its worker", { refCount: { ...good.refCount, afterKill: 3 } }],
  ["a lease that was never released", { refCount: { ...good.refCount, afterClose: 1 } }],
  ["weights that differ", { weightsChecksumEqualInAllWorkers: false }],
  ["memory that was leaked", { deviceMemory: { ...good.deviceMemory, afterCloseBytes: 150 } }],
])("%s is a fault", (_, change) => {
  expect(findFaults({ ...good, ...change })).toHaveLength(1);
});

test("small-integer weights are checked exactly", async () => {
  const layer = await writeLayer(path.join(folder, "integers.safetensors"), 96, 40);
  const inputs = makeInputs(3, 96);
  const { all, exact } = await computeReferences(layer, inputs);
  expect(exact).toBe(true);
  const answer = Float32Array.from(all[1]!.y);
  expect(countWrong(all[1]!, answer)).toBe(0);
  expect(countWrong(all[0]!, answer)).toBeGreaterThan(0);
  answer[7]! += 1;
  expect(countWrong(all[1]!, answer)).toBe(1);
  expect(countWrong(all[1]!, answer.subarray(1))).toBeGreaterThan(0);
});

test("other weights are checked within what f32 may round", async () => {
  const file = path.join(folder, "halves.safetensors");
  // 0.1 in BF16, which is 0.10009765625.
  const weights = new Uint16Array(2 * 64).fill(0x3dcd);
  const bias = new Float32Array(1000);
  await writeSafetensors(file, [
    { name: "bias", dtype: "F32", shape: [1000], data: bias },
    { name: "weight", dtype: "BF16", shape: [2, 64], data: weights },
  ]);
  const layer = await findLayer(file);
  expect(layer).toMatchObject({ tensor: "weight", inputs: 64, outputs: 2, modelBytes: 4256 });
  const { all, exact } = await computeReferences(layer, [new Float32Array(64).fill(1)]);
  expect(exact).toBe(false);
  const reference = all[0]!;
  expect([...reference.y]).toEqual([6.40625, 6.40625]);
  expect(countWrong(reference, Float32Array.of(6.40625, 6.406251))).toBe(0);
  expect(countWrong(reference, Float32Array.of(6.40625, 6.4064))).toBe(1);
  expect(countWrong(reference, Float32Array.of(6.40625, Number.NaN))).toBe(1);
});
