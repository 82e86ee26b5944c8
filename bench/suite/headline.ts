/** The few numbers that matter most, computed from the samples of a results file and from nothing else. */
import { summarize } from "../common/statistics.js";
import type { Labels, Outcome, Results, Series, Unit } from "./results.js";

type Sharing = "vmm" | "ipc";
type PerSharing = Record<Sharing, number | null>;

/** The unit that the headline takes from a measure. A series in another one is not what it asks for. */
const units: Record<string, Unit> = {
  load: "GB/s",
  attach: "ms",
  "attach-peers": "ms",
  "kernel-read": "GB/s",
  memory: "bytes",
  death: "ms",
};

/** null: what it needs was not measured. Every definition is in bench/README.md. */
export interface Headline {
  loadGBps: number | null;
  loadVsFloor: number | null;
  loadVsSafetensors: number | null;
  attachMs: PerSharing;
  attachVsFloor: PerSharing;
  attachVsPyTorch: PerSharing;
  kernelReadVsOwn: number | null;
  workersMemoryVsSeparate: number | null;
  ledgerAfterDeathMs: number | null;
}

type Source = Pick<Results, "outcomes" | "series">;

export function computeHeadline(results: Source): Headline {
  const find = (measure: string, by: string, what: string, labels: Labels = {}) =>
    median(inUnit(select(results, measure, by, what, labels))[0]);
  const perSharing = (of: (sharing: Sharing) => number | null): PerSharing => ({
    vmm: of("vmm"),
    ipc: of("ipc"),
  });
  const attach = (sharing: Sharing) => find("attach", "cuda-ipc", "attach", { sharing, kind: "first" });
  const floor = (sharing: Sharing) => find("attach", "floor", "attach", { sharing, kind: "first" });
  const pytorch = find("attach-peers", "PyTorch", "ForkingPickler.loads", { kind: "first" });
  const load = find("load", "cuda-ipc", "load");
  const kernelReads = inUnit(select(results, "kernel-read", "cuda-ipc", "mapped")).map((mapped) =>
    ratio(median(mapped), find("kernel-read", "cuda-ipc", "own", { sharing: mapped.labels.sharing! })),
  );
  const deaths = inUnit(select(results, "death", "cuda-ipc", "pidfd to ledger")).map(median);
  return {
    loadGBps: load,
    loadVsFloor: ratio(load, find("load", "floor", "load")),
    loadVsSafetensors: ratio(load, find("load", "safetensors", "load")),
    attachMs: perSharing(attach),
    attachVsFloor: perSharing((sharing) => ratio(attach(sharing), floor(sharing))),
    attachVsPyTorch: perSharing((sharing) => ratio(pytorch, attach(sharing))),
    kernelReadVsOwn: least(kernelReads),
    workersMemoryVsSeparate: memoryRatio(results),
    ledgerAfterDeathMs: most(deaths),
  };
}

/** At the largest number of workers for which both were measured. */
function memoryRatio(results: Source): number | null {
  const used = memoryInUse(results);
  const workers = (mode: string) =>
    new Map(
      used
        .filter(({ labels }) => labels.mode === mode)
        .map((one) => [Number(one.labels.workers), median(one)]),
    );
  const shared = workers("shared");
  const separate = workers("separate");
  const largest = Math.max(...[...shared.keys()].filter((count) => separate.has(count)));
  return ratio(shared.get(largest) ?? null, separate.get(largest) ?? null);
}

/** By nvidia-smi where it was there, else by cudaMemGetInfo. */
export function memoryInUse(results: Source): Series[] {
  const by = (tool: string) => inUnit(select(results, "memory", "cuda-ipc", "in use", { tool }));
  const smi = by("nvidia-smi");
  return smi.length > 0 ? smi : by("cudaMemGetInfo");
}

/** The series of a finished measure that have these labels. */
export function select(
  { outcomes, series }: { outcomes: readonly Outcome[]; series: readonly Series[] },
  measure: string,
  by: string,
  what: string,
  labels: Labels = {},
): Series[] {
  if (!outcomes.some((outcome) => outcome.measure === measure && outcome.status === "done")) return [];
  return series.filter(
    (one) =>
      one.measure === measure &&
      one.by === by &&
      one.what === what &&
      one.samples.length > 0 &&
      Object.entries(labels).every(([name, value]) => one.labels[name] === value),
  );
}

const inUnit = (series: readonly Series[]): Series[] =>
  series.filter(({ measure, unit }) => unit === units[measure]);

export function median(series: Series | undefined): number | null {
  return series === undefined ? null : summarize(series.samples).median;
}

function ratio(a: number | null, b: number | null): number | null {
  return a === null || b === null || b === 0 ? null : a / b;
}

const numbers = (values: readonly (number | null)[]) => values.filter((value) => value !== null) as number[];
const least = (values: readonly (number | null)[]) =>
  numbers(values).length > 0 ? Math.min(...numbers(values)) : null;
const most = (values: readonly (number | null)[]) =>
  numbers(values).length > 0 ? Math.max(...numbers(values)) : null;
