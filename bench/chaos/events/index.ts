import type { ChaosEvent } from "./event.js";
import { restartOwner, stopOwner } from "./owner.js";
import { killLoader, swap } from "./versions.js";
import { killWorker, stopWorker } from "./workers.js";

export const events: readonly ChaosEvent[] = [
  killWorker,
  stopWorker,
  swap,
  killLoader,
  stopOwner,
  restartOwner,
];
