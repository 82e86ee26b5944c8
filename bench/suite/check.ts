/** Whether a results file says what its own samples say. */
import { computeHeadline } from "./headline.js";
import type { Results } from "./results.js";

/** Differences, as sentences; none when the file is sound. */
export function checkResults(results: Results): string[] {
  const problems: string[] = [];
  for (const { measure, by, what, samples } of results.series) {
    const name = `${measure}: ${by}: ${what}`;
    if (!Array.isArray(samples) || samples.length === 0) problems.push(`${name} has no samples.`);
    else if (!samples.every(Number.isFinite)) problems.push(`${name} has a sample that is not a number.`);
    else if (samples.length === 1) problems.push(`${name} has one sample only.`);
  }
  if (problems.length > 0) return problems;
  const computed = new Map(flatten(computeHeadline(results)));
  const written = new Map(flatten(results.headline));
  for (const name of new Set([...computed.keys(), ...written.keys()])) {
    const [expected, found] = [computed.get(name), written.get(name)];
    if (!equal(expected, found))
      problems.push(`headline.${name} is ${found}, but the samples give ${expected}.`);
  }
  return problems;
}

function flatten(value: object, prefix = ""): [string, unknown][] {
  return Object.entries(value).flatMap(([name, inner]): [string, unknown][] =>
    typeof inner === "object" && inner !== null
      ? flatten(inner, `${prefix}${name}.`)
      : [[`${prefix}${name}`, inner]],
  );
}

/** The same arithmetic on the same samples gives the same numbers, but for the last bits of another machine's. */
function equal(a: unknown, b: unknown): boolean {
  if (typeof a !== "number" || typeof b !== "number") return a === b;
  return Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b));
}
