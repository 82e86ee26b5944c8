import { describe, expect, test } from "vitest";
import { computeHeadline } from "../../dist/bench/suite/headline.js";
import { merge, type Results, type Series } from "../../dist/bench/suite/results.js";

const units: Record<string, Series["unit"]> = { load: "GB/s", "kernel-read": "GB/s", memory: "bytes" };

function one(
  measure: string,
  by: string,
  what: string,
  samples: number[],
  labels: Series["labels"] = {},
): Series {
  return { measure, by, what, labels, unit: units[measure] ?? "ms", samples };
}

function results(series: Series[], more: Partial<Results> = {}): Results {
  const names = [...new Set(series.map(({ measure }) => measure))];
  const machine = { gpu: "G", driverVersion: "13.0", cpu: "C" } as Results["runs"][number]["machine"];
  const whole: Results = {
    format: 1,
    driver: "libcuda",
    label: "G",
    quick: false,
    runs: [{ at: "", options: [], commit: "c", machine }],
    outcomes: names.map((measure) => ({ measure, status: "done", seconds: 1, run: 0 })),
    peers: [],
    notes: [],
    headline: undefined as never,
    series,
    ...more,
  };
  return { ...whole, headline: computeHeadline(whole) };
}

describe("the headline", () => {
  test("is of medians, and of ratios of medians", () => {
    const both = ["vmm", "ipc"].flatMap((sharing, i) => [
      one("attach", "cuda-ipc", "attach", [1 + i, 2 + i, 90], { sharing, kind: "first" }),
      one("attach", "cuda-ipc", "attach", [0.1, 0.1], { sharing, kind: "repeated" }),
      one("attach", "floor", "attach", [0.5, 1, 2], { sharing, kind: "first" }),
      one("kernel-read", "cuda-ipc", "mapped", [99 - i, 99 - i], { sharing }),
      one("kernel-read", "cuda-ipc", "own", [100, 100], { sharing }),
      one("death", "cuda-ipc", "pidfd to ledger", [-1, i, 5], { sharing }),
    ]);
    const { headline } = results([
      one("load", "cuda-ipc", "load", [48, 46, 50]),
      one("load", "floor", "load", [50, 50]),
      one("load", "safetensors", "load", [4, 6]),
      ...both,
      one("attach-peers", "PyTorch", "ForkingPickler.loads", [20, 30], { kind: "first" }),
      one("attach-peers", "PyTorch", "ForkingPickler.loads", [1, 1], { kind: "repeated" }),
      ...[1, 2].flatMap((workers) => [
        one("memory", "cuda-ipc", "in use", [10, 10], { mode: "shared", workers, tool: "nvidia-smi" }),
        one("memory", "cuda-ipc", "in use", [9, 9], { mode: "shared", workers, tool: "cudaMemGetInfo" }),
        one("memory", "cuda-ipc", "in use", [10 * workers, 10 * workers], {
          mode: "separate",
          workers,
          tool: "nvidia-smi",
        }),
      ]),
    ]);
    expect(headline).toEqual({
      loadGBps: 48,
      loadVsFloor: 0.96,
      loadVsSafetensors: 9.6,
      attachMs: { vmm: 2, ipc: 3 },
      attachVsFloor: { vmm: 2, ipc: 3 },
      attachVsPyTorch: { vmm: 12.5, ipc: 25 / 3 },
      kernelReadVsOwn: 0.98,
      workersMemoryVsSeparate: 0.5,
      ledgerAfterDeathMs: 1,
    });
  });

  test("takes nothing that is in another unit", () => {
    const series = { ...one("load", "cuda-ipc", "load", [48, 48]), unit: "ms" as const };
    expect(results([series]).headline.loadGBps).toBeNull();
  });

  test("takes nothing from a measure that failed", () => {
    const series = [one("load", "cuda-ipc", "load", [48, 48])];
    const outcomes: Results["outcomes"] = [{ measure: "load", status: "failed", seconds: 1, run: 0 }];
    expect(results(series, { outcomes }).headline.loadGBps).toBeNull();
  });
});

describe("merging", () => {
  const before = results([one("load", "cuda-ipc", "load", [1, 1]), one("death", "cuda-ipc", "x", [1, 1])]);

  test("replaces measures of the same name and keeps the others", () => {
    const merged = merge(before, results([one("load", "cuda-ipc", "load", [2, 2])]));
    expect(merged.series.map(({ measure, samples }) => [measure, samples[0]])).toEqual([
      ["death", 1],
      ["load", 2],
    ]);
    expect(merged.outcomes.map(({ measure, run }) => [measure, run])).toEqual([
      ["death", 0],
      ["load", 1],
    ]);
  });

  test.each([
    ["driver", { driver: "host" as const }],
    ["quick", { quick: true }],
    ["commit", { runs: [{ ...before.runs[0]!, commit: "d" }] }],
    ["gpu", { runs: [{ ...before.runs[0]!, machine: { ...before.runs[0]!.machine, gpu: "H" } }] }],
  ])("refuses results that differ in %s", (name, difference) => {
    expect(() => merge(before, results([], difference))).toThrow(`they differ in ${name}.`);
  });
});
