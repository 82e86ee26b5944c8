import { type Summary, summarize } from "../common/statistics.js";
import { milliseconds, table } from "../common/table.js";
import type { DeathSample } from "./deaths.js";
import type { SampleKind } from "./floor.js";
import type { Sample } from "./latency.js";

/** The aim: attach within 1.25 times the floor plus 0.3 ms; the ledger within 5 ms of the pidfd. */
export const aim = { factor: 1.25, plusMs: 0.3, ledgerMs: 5 };

export interface LatencyVerdict {
  kind: SampleKind;
  floor: Summary;
  /** The floor's calls, with asking for the memory over a socket: what no library can do without. */
  asking: Summary;
  attach: Summary;
  /** Of the medians: attach / floor. */
  ratio: number;
  /** Of the medians: attach - factor * floor, to be at most `plusMs`. */
  overFactorMs: number;
  met: boolean;
}

export interface DeathVerdict {
  killToPidfd: Summary;
  killToLedger: Summary;
  pidfdToLedger: Summary;
  reasons: Record<string, number>;
  met: boolean;
}

export function judgeLatency(samples: readonly Sample[]): LatencyVerdict[] {
  return (["first", "repeated", "rested"] as const)
    .filter((kind) => samples.some((sample) => sample.kind === kind))
    .map((kind) => {
      const floor = summarize(pick(samples, "floor", kind));
      const asking = summarize(pick(samples, "asking", kind));
      const attach = summarize(pick(samples, "attach", kind));
      const overFactorMs = attach.median - aim.factor * floor.median;
      const ratio = attach.median / floor.median;
      return { kind, floor, asking, attach, ratio, overFactorMs, met: overFactorMs <= aim.plusMs };
    });
}

export function judgeDeaths(samples: readonly DeathSample[]): DeathVerdict {
  const of = (key: Exclude<keyof DeathSample, "reason">) => summarize(samples.map((sample) => sample[key]));
  const reasons: Record<string, number> = {};
  for (const { reason } of samples) reasons[reason] = (reasons[reason] ?? 0) + 1;
  const pidfdToLedger = of("pidfdToLedger");
  return {
    killToPidfd: of("killToPidfd"),
    killToLedger: of("killToLedger"),
    pidfdToLedger,
    reasons,
    met: pidfdToLedger.max <= aim.ledgerMs,
  };
}

export function latencyText(sharing: string, samples: readonly Sample[], roundTrips: Summary): string {
  const verdicts = judgeLatency(samples);
  const rows = [["attach, ms", "samples", "median", "p10", "p90"]];
  for (const { kind, floor, asking, attach } of verdicts) {
    rows.push(
      row(`${sharing} ${kind}: C++ floor`, floor),
      row(`${sharing} ${kind}: C++, asking over a socket`, asking),
      row(`${sharing} ${kind}: attach()`, attach),
    );
    const bare = pick(samples, "bare", kind);
    if (bare.length > 0) rows.push(row(`${sharing} ${kind}: Node, the mapping alone`, summarize(bare)));
  }
  const lines = verdicts.map(
    ({ kind, ratio, overFactorMs, met }) =>
      `${sharing} ${kind}: attach / floor = ${ratio.toFixed(2)}; attach - ${aim.factor} x floor = ` +
      `${milliseconds(overFactorMs)} ms (aim: at most ${aim.plusMs}) ${met ? "- met" : "- NOT MET"}`,
  );
  return [table(rows), "", ...lines, "", whereItGoes(sharing, samples, verdicts, roundTrips)].join("\n");
}

export function straightText(sharing: string, straight: Summary): string {
  return table([
    ["attach, ms", "samples", "median", "p10", "p90"],
    row(`${sharing}, as soon as CUDA is up`, straight),
  ]);
}

/** The medians of the parts: the driver's as the floor has them, the library's from step to step. */
function whereItGoes(
  sharing: string,
  samples: readonly Sample[],
  verdicts: readonly LatencyVerdict[],
  roundTrip: Summary,
): string {
  const rows = [["where it goes, ms", ...verdicts.map(({ kind }) => kind)]];
  const addParts = (of: Sample["of"], title: string) => {
    const withParts = samples.filter((sample) => sample.of === of && sample.parts !== undefined);
    for (const part of Object.keys(withParts[0]?.parts ?? {})) {
      rows.push([
        `  ${title}: ${part}`,
        ...verdicts.map(({ kind }) => {
          const times = withParts
            .filter((sample) => sample.kind === kind)
            .map((sample) => sample.parts![part]!);
          return milliseconds(summarize(times).median);
        }),
      ]);
    }
  };
  addParts("floor", "driver");
  addParts("attach", "attach()");
  rows.push(
    [`driver calls (floor)`, ...verdicts.map(({ floor }) => milliseconds(floor.median))],
    [`one message and its answer`, ...verdicts.map(() => milliseconds(roundTrip.median))],
    [
      `the rest of attach()`,
      ...verdicts.map(({ floor, attach }) => milliseconds(attach.median - floor.median - roundTrip.median)),
    ],
    [
      `release() afterwards`,
      ...verdicts.map(({ kind }) => {
        const times = samples.filter((sample) => sample.of === "attach" && sample.kind === kind);
        return milliseconds(summarize(times.map((sample) => sample.detach!)).median);
      }),
    ],
  );
  return `${sharing}\n${table(rows)}`;
}

export function deathText(sharing: string, samples: readonly DeathSample[]): string {
  const verdict = judgeDeaths(samples);
  const rows = [
    [`SIGKILL of a worker (${sharing}), ms`, "samples", "median", "p10", "p90"],
    row("kill(2) to its pidfd", verdict.killToPidfd),
    row("kill(2) to the owner's ledger", verdict.killToLedger),
    row("pidfd to ledger", verdict.pidfdToLedger),
  ];
  const reasons = Object.entries(verdict.reasons).map(([reason, count]) => `${reason} ${count}`);
  return (
    `${table(rows)}\n\n${sharing}: ledger at most ${milliseconds(verdict.pidfdToLedger.max)} ms after the pidfd ` +
    `(aim: ${aim.ledgerMs}) ${verdict.met ? "- met" : "- NOT MET"}; ended by: ${reasons.join(", ")}`
  );
}

function pick(samples: readonly Sample[], of: Sample["of"], kind: Sample["kind"]): number[] {
  return samples
    .filter((sample) => sample.of === of && sample.kind === kind)
    .map((sample) => sample.milliseconds);
}

function row(name: string, summary: Summary): string[] {
  return [
    name,
    String(summary.count),
    milliseconds(summary.median),
    milliseconds(summary.p10),
    milliseconds(summary.p90),
  ];
}
