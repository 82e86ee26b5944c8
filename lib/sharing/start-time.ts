import { readFileSync } from "node:fs";

let known: string | undefined;

/** When this process started, in clock ticks since boot: with the pid it names this instance and no other. */
export function processStartTime(): string {
  if (known === undefined) {
    const stat = readFileSync("/proc/self/stat", "utf8");
    // The command, in parentheses, may hold anything; what follows its last parenthesis is fields 3 and on.
    known = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]!;
  }
  return known;
}
