/** Ends a program that is told to by a signal, so that it leaves nothing behind. */
import os from "node:os";

/** Ctrl-C, kill, a terminal that is closed, Ctrl-\. */
const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

let told = false;

/** Whether the program is being ended: what fails from now on is no news. */
export const isEnding = (): boolean => told;

/** For whoever has nothing more to do in a program that is being ended: settles never. */
export const forever = (): Promise<never> => new Promise(() => {});

/** Once, however often it is told: a second Ctrl-C does not interrupt the cleaning up. */
export function endWhenTold(cleanUp: () => Promise<void>): void {
  for (const signal of signals) process.on(signal, () => end(os.constants.signals[signal], cleanUp));
}

/** Whoever read the output of the program has enough: it ends, too, and quietly. */
export function endWithOutput(cleanUp: () => Promise<void>): void {
  process.stdout.on("error", () => end(os.constants.signals.SIGPIPE, cleanUp));
}

function end(signal: number, cleanUp: () => Promise<void>): void {
  if (told) return;
  told = true;
  cleanUp()
    .catch(() => {})
    .finally(() => process.exit(128 + signal));
}
