import type { LockEffects } from "./lock-types.js";
import type { StateLog } from "./state-log.js";

/** Writes down what became of locks, so that the next owner knows who holds which. */
export function recordLocks(log: StateLog): (effects: LockEffects) => void {
  return ({ ended, granted }) => {
    for (const { lock } of ended) log.record({ op: "lockFreed", lock });
    for (const { process, ...held } of granted) {
      // Its leases name the process as well, unless it has released them while it waited.
      log.record({ op: "process", process: { ...process } });
      log.record({ op: "lockHeld", lock: { ...held, process: process.key } });
    }
    log.commit();
  };
}
