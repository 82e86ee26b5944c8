/** Whether the parts of a results file, each of which looks as it should, agree with one another. */
import { labelOf, type Outcome, type Results, type Series } from "./results.js";

/** Whoever is in `by` and is no other library: nothing to be installed, nothing to be listed as a peer. */
const own = new Set(["cuda-ipc", "floor", "disk"]);

/** What does not agree, as sentences. */
export function checkRecord(results: Results): string[] {
  const { driver, runs, label } = results;
  const expected = labelOf(driver, runs.at(-1)!.machine);
  return [
    ...(label === expected ? [] : [`The label is "${label}", but the last run is of "${expected}".`]),
    ...checkOutcomes(results),
    ...checkSeries(results),
    ...checkPeers(results),
  ];
}

function checkOutcomes({ outcomes, runs, series, peers }: Results): string[] {
  const problems = repeated(outcomes.map(({ measure }) => `The outcome of ${measure}`));
  for (const outcome of outcomes) {
    const { measure, status, run, reason } = outcome;
    if (run >= runs.length) problems.push(`${measure} is of run ${run}, but there are ${runs.length}.`);
    if (status === "failed")
      problems.push(`${measure} failed: ${reason?.split("\n")[0] ?? "no reason given"}`);
    if (status === "skipped" && reason === undefined) problems.push(`${measure} was skipped for no reason.`);
    if (status === "done" && !hasSamples(outcome, series) && !onlyPeersLacked(outcome, peers))
      problems.push(`${measure} is done, but has no samples.`);
  }
  if (!outcomes.some(({ status }) => status === "done")) problems.push("No measure is done.");
  return problems;
}

const hasSamples = ({ measure }: Outcome, series: readonly Series[]): boolean =>
  series.some((one) => one.measure === measure);

/** Measures of other libraries alone have nothing where there are none. */
const onlyPeersLacked = ({ measure }: Outcome, peers: Results["peers"]): boolean =>
  peers.some((peer) => peer.measure === measure && peer.status !== "present");

function checkSeries({ outcomes, series }: Results): string[] {
  const problems = repeated(
    series.map(({ samples: _, unit: __, ...key }) => `The series ${JSON.stringify(key)}`),
  );
  const units = new Map<string, string>();
  for (const { measure, by, what, unit, samples } of series) {
    const name = `${measure}: ${by}: ${what}`;
    if (!outcomes.some((outcome) => outcome.measure === measure))
      problems.push(`${name} is of a measure that has no outcome.`);
    if (samples.length === 0) problems.push(`${name} has no samples.`);
    else if (samples.length === 1) problems.push(`${name} has one sample only.`);
    const kind = `${measure}: ${what}`;
    const before = units.get(kind) ?? unit;
    units.set(kind, before);
    if (before !== unit) problems.push(`${name} is in ${unit}, but another series of it in ${before}.`);
  }
  return problems;
}

function checkPeers({ peers, series }: Results): string[] {
  const present = new Set(peers.filter(({ status }) => status === "present").map(({ peer }) => peer));
  const missing = new Set(series.map(({ by }) => by).filter((by) => !own.has(by) && !present.has(by)));
  return [...missing].map((by) => `There are samples of ${by}, but no peer of that name is present.`);
}

function repeated(names: readonly string[]): string[] {
  const twice = new Set(names.filter((name, i) => names.indexOf(name) < i));
  return [...twice].map((name) => `${name} is there twice.`);
}
