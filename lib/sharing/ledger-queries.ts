import { refCount } from "./ledger-effects.js";
import { takeSnapshot } from "./ledger-snapshot.js";
import { LedgerTable, type ProcessRecord, type VersionRecord } from "./ledger-table.js";
import type {
  Holder,
  LeaseView,
  LedgerChange,
  LedgerSnapshot,
  ProcessIdentity,
  RefCount,
  VersionView,
} from "./ledger-types.js";

/** What can be asked of the ledger. */
export class LedgerQueries {
  protected readonly table = new LedgerTable();

  /** Tells `record` of every change from here on, so that a successor can be told. */
  recordTo(record: (change: LedgerChange) => void): void {
    this.table.record = record;
  }

  get recovering(): boolean {
    return this.table.awaited.size > 0;
  }

  /** The id of a set's current version. */
  current(set: string): string | undefined {
    return this.currentOf(set)?.id;
  }

  version(id: string): VersionView | undefined {
    const version = this.table.versions.get(id);
    return version && this.view(version);
  }

  versions(): VersionView[] {
    return [...this.table.versions.values()].map((version) => this.view(version));
  }

  refCount(id: string): RefCount {
    const version = this.table.versions.get(id);
    return version === undefined ? { count: 0, exact: !this.recovering } : refCount(this.table, version);
  }

  /** Who holds a version; the sum of their leases is its reference count. */
  holders(id: string): Holder[] {
    const holders = new Map<ProcessRecord, Holder>();
    for (const { process, since } of this.table.versions.get(id)?.held ?? []) {
      const { pid, startTime, uid, command } = process.identity;
      const known = holders.get(process);
      holders.set(process, {
        pid,
        startTime,
        uid,
        command,
        leases: (known?.leases ?? 0) + 1,
        since: Math.min(known?.since ?? since, since),
      });
    }
    return [...holders.values()];
  }

  lease(id: string): LeaseView | undefined {
    const lease = this.table.leases.get(id);
    if (lease === undefined) return undefined;
    const unbound = this.table.awaited.has(lease) ? "awaited" : "orphaned";
    return {
      id,
      version: lease.version.id,
      process: lease.process.identity.key,
      state: lease.connection === undefined ? unbound : "held",
      since: lease.since,
    };
  }

  /** The processes of a snapshot that have not come back for all their leases. */
  awaitedProcesses(): ProcessIdentity[] {
    return [...new Set([...this.table.awaited].map(({ process }) => process.identity))];
  }

  /** The connections to tell about a version, or about all versions of a set. */
  connectionsOf(where: { version: string } | { set: string }): number[] {
    const open = new Set<number>();
    for (const version of this.table.versions.values()) {
      if ("version" in where ? where.version !== version.id : where.set !== version.set) continue;
      for (const { connection } of version.held) if (connection !== undefined) open.add(connection.id);
    }
    return [...open];
  }

  /** Whether the process still has a connection, a lease or a keeper's claim here. */
  knows(process: string): boolean {
    return this.table.processes.has(process);
  }

  /** Plain JSON, for `Ledger.restore`. */
  snapshot(): LedgerSnapshot {
    return takeSnapshot(this.table);
  }

  protected currentOf(set: string): VersionRecord | undefined {
    for (const version of this.table.versions.values()) {
      if (version.set === set && version.state === "current") return version;
    }
    return undefined;
  }

  private view(version: VersionRecord): VersionView {
    const { id, set, sharing, state, pinned, keepers } = version;
    return {
      id,
      set,
      sharing,
      state,
      pinned,
      refCount: refCount(this.table, version),
      keepers: [...keepers.keys()],
    };
  }
}
