import path from "node:path";
import { describe, expect, test } from "vitest";
import { usedBytesAfter } from "../../dist/examples/demo/device-memory.js";
import { findLayer, writeLayer } from "../../dist/examples/demo/layer-file.js";
import { findFaults, type Outcome } from "../../dist/examples/demo/outcome.js";
import { computeReferences, countWrong, makeInputs } from "../../dist/examples/demo/reference.js";
import { writeSafetensors } from "../../dist/lib/index.js";
import { temporaryFolder } from "../helpers/temporary.js";

const folder = temporaryFolder();

const MiB = 1 << 20;

/** As printed on the host driver. */
const good: Outcome = {
  driver: "host",
  sharing: "vmm",
  modelBytes: 64 * MiB,
  workers: 3,
  requests: 10,
  wrongAnswers: 0,
  counter: 12,
  answered: 10,
  inFlightAtKill: 2,
  refCount: { attached: 3, afterKill: 2, afterRestart: 3, afterClose: 0 },
  reattachMs: 1,
  weightsChecksumEqualInAllWorkers: true,
  deviceMemory: { beforeBytes: 0, withWorkersBytes: 69_648_384, afterCloseBytes: 0 },
};

/** As printed on an H100: 3.66 GB over what the demo's own context takes. */
const onGpu: Outcome = {
  ...good,
  driver: "libcuda",
  modelBytes: 2e9,
  deviceMemory: { beforeBytes: 552e6, withWorkersBytes: 4.212e9, afterCloseBytes: 552e6 },
};

test("an outcome as promised has no faults", () => {
  expect(findFaults(good)).toEqual([]);
  expect(findFaults(onGpu)).toEqual([]);
});

test.each<[string, Partial<Outcome>]>([
  ["a wrong answer", { wrongAnswers: 1 }],
  ["a request without an answer", { requests: 11 }],
  ["a count that was lost", { counter: 9 }],
  ["a count too many", { counter: 13 }],
  ["a lease that outlives its worker", { refCount: { ...good.refCount, afterKill: 3 } }],
  ["a lease that was never released", { refCount: { ...good.refCount, afterClose: 1 } }],
  ["weights that differ", { weightsChecksumEqualInAllWorkers: false }],
  ["no time of the replacement's attach", { reattachMs: Number.NaN }],
  ["a time that nothing takes", { reattachMs: 0 }],
])("%s is a fault", (_, change) => {
  expect(findFaults({ ...good, ...change })).toHaveLength(1);
});

describe.each([
  ["the host driver", good],
  ["a GPU", onGpu],
])("of device memory, on %s", (_, outcome) => {
  const { deviceMemory, modelBytes, workers } = outcome;
  const { beforeBytes, withWorkersBytes } = deviceMemory;

  test.each([
    ["a copy for each worker", { withWorkersBytes: withWorkersBytes + workers * modelBytes }],
    ["a copy for one worker", { withWorkersBytes: withWorkersBytes + modelBytes }],
    ["no room for the weights", { withWorkersBytes: beforeBytes + modelBytes / 2 }],
    ["no figure with the workers", { withWorkersBytes: Number.NaN }],
    ["what is left of a leak", { afterCloseBytes: beforeBytes + modelBytes / 4 }],
    ["no figure at the end", { afterCloseBytes: Number.NaN }],
  ])("%s is a fault", (_what, change) => {
    expect(findFaults({ ...outcome, deviceMemory: { ...deviceMemory, ...change } })).toHaveLength(1);
  });
});

test("on the host driver a single page that is left is a fault", () => {
  const deviceMemory = { ...good.deviceMemory, afterCloseBytes: 4096 };
  expect(findFaults({ ...good, deviceMemory })).toHaveLength(1);
});

test("memory that comes back late has come back, and what does not is in use", async () => {
  const late = [300, 200, 100];
  expect(await usedBytesAfter(100, async () => late.shift()!)).toBe(100);
  expect(await usedBytesAfter(100, async () => 200, 0)).toBe(200);
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
