/** What the supervisor and the processes of a run say to each other. */

export type Commands = Record<string, (...values: never[]) => unknown>;

/** From the supervisor. */
export interface Ask {
  id: number;
  command: string;
  values: unknown[];
}

/** What happened in a process by itself. */
export interface Note {
  note: string;
  text: string;
}

/** To the supervisor. */
export type Told = Note | { id: number; value?: unknown; error?: { code?: string; message: string } };

export interface Answer {
  version: string;
  number: number;
  output: Float32Array;
}

/** What a worker knows itself to hold. */
export interface Holding {
  /** It is moving from one version to another, or lets one go. */
  moving: boolean;
  /** Version ids, one for each lease. */
  leases: string[];
}

/** What an owner counts. */
export interface LedgerView {
  recovering: boolean;
  versions: VersionView[];
}

export interface VersionView {
  id: string;
  number: number;
  state: string;
  refCount: number;
  exact: boolean;
  holders: { pid: number; leases: number }[];
}

/** Descriptors that are open and were not at the start: kinds, and how many. */
export type Surplus = Record<string, number>;
