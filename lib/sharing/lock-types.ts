import type { ProcessIdentity } from "./ledger-types.js";

/** What a lock is asked for under: the same name in another weight set is another lock. */
export interface LockName {
  readonly set: string;
  readonly name: string;
}

export interface LockRequest extends LockName {
  /** Chosen at random by whoever asks: makes the request safe to repeat and its result possible to return. */
  readonly lock: string;
  /** That lets its process ask; the lock ends with its release. */
  readonly lease: string;
  readonly process: ProcessIdentity;
  /** The connection that waits; a lock that is held needs none. */
  readonly connection: number;
  /** Refuse at once what cannot be granted at once. */
  readonly wait: boolean;
}

/** A lock that is held. */
export interface HeldLock extends LockName {
  readonly lock: string;
  /** Through which it was taken. */
  readonly lease: string;
  readonly process: ProcessIdentity;
  /** When it was granted: milliseconds since the epoch. */
  readonly since: number;
}

export type LockEnd = "released" | "process-exited" | "deadline";

/** What an operation changed, as data. Each list is in the order in which it happened. */
export interface LockEffects {
  ended: (HeldLock & { reason: LockEnd })[];
  granted: HeldLock[];
  /** Requests that wait no longer and were not granted, by their lock ids. */
  dropped: string[];
}

export interface LockLimits {
  /** Held and waited for by all processes together. */
  readonly locks: number;
  readonly locksPerProcess: number;
}

export const defaultLockLimits: LockLimits = { locks: 65_536, locksPerProcess: 1_024 };

/** Plain JSON, for the journal: the locks that are held. Who waits asks anew. */
export interface LockSnapshot {
  readonly format: 1;
  readonly locks: readonly HeldLock[];
}
