import type { LeaseRecord, LedgerTable, VersionRecord } from "./ledger-table.js";
import type { Effects, LeaseEnd, RefCount } from "./ledger-types.js";

/** Collects what one operation does, and at its end decides what that makes free. */
export class Operation {
  readonly effects: Effects = {
    ended: [],
    orphaned: [],
    freeable: [],
    freed: [],
    counts: [],
    recovered: false,
  };
  private readonly touched = new Set<VersionRecord>();
  private readonly wasRecovering: boolean;

  constructor(private readonly table: LedgerTable) {
    this.wasRecovering = table.awaited.size > 0;
  }

  touch(version: VersionRecord): void {
    this.touched.add(version);
  }

  end(lease: LeaseRecord, reason: LeaseEnd): void {
    this.table.dropLease(lease);
    this.touch(lease.version);
    this.effects.ended.push({
      lease: lease.id,
      version: lease.version.id,
      process: lease.process.identity.key,
      reason,
    });
  }

  settle(): Effects {
    const recovering = this.table.awaited.size > 0;
    this.effects.recovered = this.wasRecovering && !recovering;
    // What recovery held back, and every count's exactness, change with its end.
    const versions = this.effects.recovered ? [...this.table.versions.values()] : this.touched;
    for (const version of versions) {
      this.report(version);
      if (!recovering && isUnreferenced(version)) {
        version.state = "released";
        this.effects.freeable.push(version.id);
      }
      if (version.state === "released" && version.handedBack && version.keepers.size === 0) {
        this.table.dropVersion(version);
        this.effects.freed.push(version.id);
      }
      this.table.recordState(version);
    }
    return this.effects;
  }

  private report(version: VersionRecord): void {
    const now = refCount(this.table, version);
    const { count, exact } = version.reported;
    if (now.count === count && now.exact === exact) return;
    version.reported = now;
    this.effects.counts.push({ version: version.id, ...now });
  }
}

export function refCount(table: LedgerTable, version: VersionRecord): RefCount {
  return { count: version.held.size, exact: table.awaited.size === 0 };
}

function isUnreferenced(version: VersionRecord): boolean {
  if (version.state !== "superseded" && version.state !== "retired") return false;
  return !version.pinned && version.held.size + version.awaited.size === 0;
}
