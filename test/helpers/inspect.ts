// test/children/inspect.cjs, for this process.
import { createRequire } from "node:module";

interface Inspect {
  openFds(): Record<string, number>;
  surplus(before: Record<string, number>, now?: Record<string, number>): Record<string, number>;
  warmUp(device?: number): Promise<void>;
  /** Looks, once in every turn of the event loop, until `done` says so or the time is up; what it saw last. */
  watchFor<T>(look: () => T | Promise<T>, done: (seen: T) => boolean, milliseconds?: number): Promise<T>;
  leftovers(fdsBefore?: Record<string, number>): Promise<Leftovers>;
}

export interface Leftovers {
  mappings: number;
  references: number;
  /** Kinds of descriptors, and how many more than before. */
  fds: Record<string, number>;
}

export const nothingLeft: Leftovers = { mappings: 0, references: 0, fds: {} };

export const inspect = createRequire(__filename)("../children/inspect.cjs") as Inspect;
