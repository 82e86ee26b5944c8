/** The headline, computed again. */
import { computeHeadline } from "./headline.js";
import type { Results } from "./results.js";

/** Differences, as sentences. */
export function checkHeadline(results: Results): string[] {
  const problems: string[] = [];
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
  if (!Number.isFinite(a) || !Number.isFinite(b)) return a === b;
  const [x, y] = [a as number, b as number];
  return Math.abs(x - y) <= 1e-9 * Math.max(Math.abs(x), Math.abs(y));
}
