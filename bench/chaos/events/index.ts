import type { ChaosEvent } from "./event.js";
import {
  failOver,
  killAllButStandby,
  raceForSocket,
  restartOwner,
  stopOwner,
  stopThroughDeath,
} from "./owner.js";
import { breakHandOver, handOver, killStandby } from "./succession.js";
import { killLoader, rollback, swap } from "./versions.js";
import { killWorker, stopWorker } from "./workers.js";

/** Every kind of event. */
export const events: readonly ChaosEvent[] = [
  ...[killWorker, stopWorker],
  ...[swap, rollback, killLoader],
  ...[failOver, restartOwner, raceForSocket, stopThroughDeath, killAllButStandby, stopOwner],
  ...[killStandby, handOver, breakHandOver],
];
