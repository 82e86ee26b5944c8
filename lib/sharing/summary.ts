import { type InspectOptionsStylized, inspect } from "node:util";

/** How console.log shows an object of this package: by what it is, and not by all that it is made of. */
export function summary(
  name: string,
  facts: object,
  depth: number | null,
  options: InspectOptionsStylized,
): string {
  if (depth !== null && depth < 0) return options.stylize(`[${name}]`, "special");
  return `${name} ${inspect(facts, options)}`;
}
