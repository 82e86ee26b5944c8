import type { Sharing } from "../native.js";
import type { StateChange } from "../wire/changes.js";

/**
 * - `staged`: added, not published yet; held by its loader
 * - `current`: what a new worker gets
 * - `superseded`: another version was published; its holders keep it, and it can still be asked for by its id
 * - `retired`: withdrawn; its holders keep it, nobody new gets it
 * - `released`: unreferenced, its memory is being handed back, but some keeper has not let go of it yet
 * - `freed`: gone; the ledger has forgotten it
 */
export type VersionState = "staged" | "current" | "superseded" | "retired" | "released" | "freed";

/** One instance of a process, as its connection's kernel facts show it. */
export interface ProcessIdentity {
  /** Unique per instance, never reused: boot id, pid and start time where those are visible. */
  readonly key: string;
  readonly pid: number;
  readonly startTime: string;
  readonly uid: number;
  readonly command: string;
  /** Whether a pidfd will prove its death. */
  readonly proven: boolean;
}

export interface NewVersion {
  readonly id: string;
  readonly set: string;
  readonly sharing: Sharing;
}

export interface VersionView extends NewVersion {
  readonly state: VersionState;
  readonly pinned: boolean;
  readonly refCount: RefCount;
  readonly keepers: readonly string[];
}

/** The number of leases known to be held. Not `exact` while recovering: then it is a lower bound. */
export interface RefCount {
  readonly count: number;
  readonly exact: boolean;
}

export interface Holder {
  readonly pid: number;
  readonly startTime: string;
  readonly uid: number;
  readonly command: string;
  readonly leases: number;
  /** When the oldest of these leases was granted. */
  readonly since: number;
}

/**
 * - `held`: on an open connection
 * - `orphaned`: its connection is gone, its process is not known to be; counted
 * - `awaited`: from a snapshot, not reclaimed yet; not counted, but nothing is freed meanwhile
 */
export type LeaseState = "held" | "orphaned" | "awaited";

export interface LeaseView {
  readonly id: string;
  readonly version: string;
  readonly process: string;
  readonly state: LeaseState;
  readonly since: number;
}

export type LeaseEnd = "released" | "connection-closed" | "process-exited" | "deadline" | "version-lost";

/** What an operation changed that a successor must know; versions themselves are added by the catalog. */
export type LedgerChange = Exclude<
  StateChange,
  { op: "versionAdded" | "numberUsed" | "lockHeld" | "lockFreed" }
>;

/** What an operation changed, as data. The caller acts on it; the ledger never does. */
export interface Effects {
  ended: { lease: string; version: string; process: string; reason: LeaseEnd }[];
  /** Leases that lost their connection and are still counted. */
  orphaned: string[];
  /** Versions whose memory is to be handed back now. A version is named here once in its life. */
  freeable: string[];
  /** Versions whose memory nobody keeps any more. A version is named here once in its life. */
  freed: string[];
  /** Reference counts that differ from what was last reported. */
  counts: ({ version: string } & RefCount)[];
  /** True when this operation ended the recovery. */
  recovered: boolean;
}

export interface LedgerLimits {
  /** Leases of all processes together. */
  readonly leases: number;
  readonly leasesPerProcess: number;
  /** How long a process whose death cannot be proven keeps a version it did not release, in milliseconds. */
  readonly unprovenGraceMs: number;
}

export const defaultLimits: LedgerLimits = {
  leases: 65_536,
  leasesPerProcess: 4_096,
  unprovenGraceMs: 60_000,
};

/** Plain JSON: the content of the recovery journal and of a standby's mirror. */
export interface LedgerSnapshot {
  readonly format: 1;
  readonly versions: readonly (NewVersion & {
    readonly state: VersionState;
    readonly pinned: boolean;
    readonly handedBack: boolean;
    readonly keepers: readonly { id: string; process: string | null; since: number }[];
  })[];
  readonly processes: readonly ProcessIdentity[];
  readonly leases: readonly { id: string; version: string; process: string; since: number }[];
}
