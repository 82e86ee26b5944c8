import type { Findings } from "../findings.js";
import type { Fleet } from "../fleet.js";
import type { Random } from "../random.js";

export interface Scene {
  readonly fleet: Fleet;
  readonly findings: Findings;
  /** The event's own choices. */
  readonly random: Random;
}

export interface ChaosEvent {
  readonly kind: string;
  /** Makes it happen, and replaces what was lost. Returns what has happened, for people. */
  run(scene: Scene): Promise<string>;
}
