import { readFileSync } from "node:fs";

let known: string | undefined;

/** When this process started, in clock ticks since boot: with the pid it names this instance and no other. */
export function processStartTime(): string {
  known ??= startTimeOf("self");
  return known;
}

/** The same of any process; "" when it is not visible here. */
export function startTimeOf(pid: number | "self"): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command, in parentheses, may hold anything; what follows its last parenthesis is fields 3 and on.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]!;
  } catch {
    return "";
  }
}
