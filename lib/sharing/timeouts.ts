import { invalidArgument } from "../errors.js";

/** As long as a timer can be, 24 days: Node takes 1 ms for anything longer. */
export const longestMs = 2 ** 31 - 1;

/** How long to wait for an owner; `without`: what comes of leaving it out. */
export function checkTimeout(
  timeout: unknown,
  { name = "timeout", without = "wait 10,000" }: { name?: string; without?: string } = {},
): void {
  if (typeof timeout === "number" && timeout > 0 && timeout <= longestMs) return;
  const expected = `milliseconds above 0 and at most ${longestMs} (leave it out to ${without})`;
  throw invalidArgument(name, expected, timeout);
}
