import { constants } from "node:os";

const stopping = ["SIGINT", "SIGTERM"] as const;
export type StopSignal = (typeof stopping)[number];

/** The first signal asks to stop; the second one ends the process where it stands. */
export function onStopSignal(stop: (signal: StopSignal) => void): void {
  let asked = false;
  for (const signal of stopping) {
    process.on(signal, () => {
      if (asked) process.exit(128 + constants.signals[signal]);
      asked = true;
      stop(signal);
    });
  }
}
