/** The measures, one after the other. */
import { forever, isEnding } from "../common/ending.js";
import type { Measure } from "./bench.js";
import type { SuiteOptions } from "./options.js";
import { type Built, peersOf } from "./prepare.js";
import type { Context } from "./process.js";
import { Progress } from "./progress.js";
import { type PeerState, type Results, withoutRoot } from "./results.js";
import { type MeasureResult, runMeasure } from "./runner.js";

/** Adds to the results what each measure gives, and has them saved after each. */
export async function runAll(
  chosen: readonly Measure[],
  built: Built,
  { driver, device, quick, patience }: SuiteOptions,
  shared: string,
  results: Results,
  save: () => Promise<void>,
): Promise<void> {
  const unbuilt = [...built.keys()].filter((name) => built.get(name)!.status !== "present");
  const progress = new Progress(chosen.length);
  try {
    for (const measure of chosen) {
      // Told while the one before was saved.
      if (isEnding()) await forever();
      progress.begin(measure.name);
      const context = { measure: measure.name, driver, device, quick, shared, unbuilt };
      const limit = measure.limitSeconds * patience;
      const found =
        lacking(measure, built) ?? (await runMeasure(context, limit, (text) => progress.step(text)));
      // It has been killed: that is not for the record.
      if (isEnding()) await forever();
      found.peers.unshift(...peersOf(measure).map((name) => built.get(name)!));
      add(results, context, found);
      await save();
      const why = found.reason === undefined ? "" : `: ${found.reason.split("\n")[0]}`;
      progress.end(`${found.status} in ${found.seconds.toFixed(1)} s${why}`);
    }
  } finally {
    progress.stop();
  }
}

/** A measure that cannot be taken without a peer that could not be built. */
function lacking({ needs = [] }: Measure, built: Built): MeasureResult | undefined {
  const missing = needs.find((name) => built.get(name)!.status !== "present");
  if (missing === undefined) return undefined;
  const { peer, reason } = built.get(missing)!;
  const why = `it needs the ${peer}: ${reason}`;
  return { status: "skipped", reason: why, series: [], notes: [], peers: [], seconds: 0 };
}

function add(results: Results, { measure }: Context, found: MeasureResult): void {
  const { status, seconds } = found;
  results.outcomes.push({ measure, status, reason: forRecord(found.reason), seconds, run: 0 });
  results.series.push(...found.series);
  results.notes.push(...found.notes.map((text) => ({ measure, text })));
  results.peers.push(
    ...found.peers.map(
      ({ peer, ...state }): PeerState => ({ peer, measure, ...state, reason: forRecord(state.reason) }),
    ),
  );
}

const forRecord = (text: string | undefined) => (text === undefined ? undefined : withoutRoot(text));
