import type { Findings } from "../findings.js";
import type { Fleet } from "../fleet.js";
import type { Random } from "../random.js";

export interface Scene {
  readonly fleet: Fleet;
  readonly findings: Findings;
  /** The event's own choices. */
  readonly random: Random;
  /** Everything had come to rest before: each version is held by a worker or current, and mirrored. */
  readonly rested: boolean;
}

export interface ChaosEvent {
  readonly kind: string;
  /** Makes it happen, and replaces what was lost. Returns what has happened, for people. */
  run(scene: Scene): Promise<string>;
}
