import type { StateChange, StoredLock, StoredVersion } from "../wire/changes.js";
import type { LedgerSnapshot, ProcessIdentity, VersionState } from "./ledger-types.js";
import type { LockSnapshot } from "./lock-types.js";

export interface VersionRecord extends StoredVersion {
  state: VersionState;
  pinned: boolean;
  handedBack: boolean;
  readonly keepers: Map<string, { id: string; process: string | null; since: number }>;
}

interface LeaseRecord {
  readonly id: string;
  readonly version: string;
  readonly process: string;
  readonly since: number;
}

/**
 * Everything that an owner's successor must know, but for the memory itself: the versions with what an offer of
 * their memory is held against, the leases with the processes that hold them, the locks. It is made of changes: the
 * recovery journal, a standby's mirror and a hand-over all are lists of them.
 */
export class StoredState {
  readonly versions = new Map<string, VersionRecord>();
  readonly processes = new Map<string, ProcessIdentity>();
  readonly leases = new Map<string, LeaseRecord>();
  /** The highest number that each set has used. */
  readonly numbers = new Map<string, number>();
  readonly locks = new Map<string, StoredLock>();
  private processLimit = 64;

  static of(changes: Iterable<StateChange>): StoredState {
    const state = new StoredState();
    for (const change of changes) state.apply(change);
    return state;
  }

  /** Changes of what is not there are skipped: whoever reads the result finds out whether it is whole. */
  apply(change: StateChange): void {
    switch (change.op) {
      case "versionAdded": {
        const { version } = change;
        const added = { state: "staged", pinned: false, handedBack: false, keepers: new Map() } as const;
        this.versions.set(version.id, { ...version, ...added });
        this.useNumber(version.set, version.number);
        break;
      }
      case "versionState": {
        const { id, state, pinned, handedBack } = change;
        const version = this.versions.get(id);
        if (version !== undefined) Object.assign(version, { state, pinned, handedBack });
        break;
      }
      case "versionGone":
        this.versions.delete(change.id);
        break;
      case "numberUsed":
        this.useNumber(change.set, change.number);
        break;
      case "process":
        this.addProcess(change.process);
        break;
      case "leaseGranted": {
        const { op, ...lease } = change;
        this.leases.set(lease.id, lease);
        break;
      }
      case "leaseEnded":
        this.leases.delete(change.id);
        break;
      case "keeperAdded": {
        const { op, version, ...keeper } = change;
        this.versions.get(version)?.keepers.set(keeper.id, keeper);
        break;
      }
      case "keeperGone":
        this.versions.get(change.version)?.keepers.delete(change.id);
        break;
      case "lockHeld":
        this.locks.set(change.lock.lock, change.lock);
        break;
      case "lockFreed":
        this.locks.delete(change.lock);
        break;
    }
  }

  /** The shortest list of changes that makes this state. */
  *changes(): Generator<StateChange> {
    for (const [set, number] of this.numbers) yield { op: "numberUsed", set, number };
    for (const process of this.holders().values()) yield { op: "process", process };
    for (const { state, pinned, handedBack, keepers, ...version } of this.versions.values()) {
      const { id } = version;
      yield { op: "versionAdded", version };
      if (state !== "freed") yield { op: "versionState", id, state, pinned, handedBack };
      for (const keeper of keepers.values()) yield { op: "keeperAdded", version: id, ...keeper };
    }
    for (const lease of this.leases.values()) yield { op: "leaseGranted", ...lease };
    for (const lock of this.locks.values()) yield { op: "lockHeld", lock };
  }

  /** What `Ledger.restore` takes. */
  ledger(): LedgerSnapshot {
    return {
      format: 1,
      versions: [...this.versions.values()].map(
        ({ id, set, sharing, state, pinned, handedBack, keepers }) => ({
          ...{ id, set, sharing, state, pinned, handedBack },
          keepers: [...keepers.values()],
        }),
      ),
      processes: [...this.holders().values()],
      leases: [...this.leases.values()],
    };
  }

  /** What `LockTable.restore` takes. */
  lockSnapshot(): LockSnapshot {
    const locks = [...this.locks.values()].flatMap((held) => {
      const process = this.processes.get(held.process);
      return process === undefined ? [] : [{ ...held, process }];
    });
    return { format: 1, locks };
  }

  /** The processes that hold or keep something. */
  private holders(): Map<string, ProcessIdentity> {
    const holders = new Map<string, ProcessIdentity>();
    const add = (key: string | null) => {
      const process = key === null ? undefined : this.processes.get(key);
      if (process !== undefined) holders.set(process.key, process);
    };
    for (const { process } of this.leases.values()) add(process);
    for (const { process } of this.locks.values()) add(process);
    for (const { keepers } of this.versions.values())
      for (const { process } of keepers.values()) add(process);
    return holders;
  }

  /** Nothing says that a process is not needed any more: those that hold nothing go when they have become many. */
  private addProcess(process: ProcessIdentity): void {
    if (this.processes.size >= this.processLimit) {
      const holders = this.holders();
      for (const key of this.processes.keys()) if (!holders.has(key)) this.processes.delete(key);
      this.processLimit = 64 + 2 * this.processes.size;
    }
    this.processes.set(process.key, process);
  }

  private useNumber(set: string, number: number): void {
    this.numbers.set(set, Math.max(number, this.numbers.get(set) ?? 0));
  }
}
