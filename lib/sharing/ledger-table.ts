import { CudaIpcError } from "../errors.js";
import type { Sharing } from "../native.js";
import type {
  LedgerChange,
  LedgerLimits,
  NewVersion,
  ProcessIdentity,
  RefCount,
  VersionState,
} from "./ledger-types.js";

export interface VersionRecord {
  readonly id: string;
  readonly set: string;
  readonly sharing: Sharing;
  state: VersionState;
  pinned: boolean;
  /** The owner has let go of the memory itself. */
  handedBack: boolean;
  /** The three above as they were last recorded. */
  recorded: string;
  readonly held: Set<LeaseRecord>;
  readonly awaited: Set<LeaseRecord>;
  readonly keepers: Map<string, KeeperRecord>;
  reported: RefCount;
}

export interface ProcessRecord {
  identity: ProcessIdentity;
  readonly leases: Set<LeaseRecord>;
  readonly keepers: Set<KeeperRecord>;
  readonly connections: Set<ConnectionRecord>;
}

export interface ConnectionRecord {
  readonly id: number;
  readonly process: ProcessRecord;
  readonly leases: Set<LeaseRecord>;
}

export interface LeaseRecord {
  readonly id: string;
  readonly version: VersionRecord;
  readonly process: ProcessRecord;
  readonly since: number;
  connection: ConnectionRecord | undefined;
}

/**
 * Somebody who can still hold the memory although no lease says so: by name, or a process that closed its
 * connection over a lease without releasing it (then `id` is the lease's).
 */
export interface KeeperRecord {
  readonly id: string;
  readonly version: VersionRecord;
  readonly process: ProcessRecord | undefined;
  readonly since: number;
}

/**
 * The ledger's records and the links between them. Each lease is one slot of its own in every set it belongs
 * to and every count is the size of such a set, so no sequence of ends can end somebody else's.
 */
export class LedgerTable {
  readonly versions = new Map<string, VersionRecord>();
  readonly processes = new Map<string, ProcessRecord>();
  readonly connections = new Map<number, ConnectionRecord>();
  readonly leases = new Map<string, LeaseRecord>();
  readonly awaited = new Set<LeaseRecord>();
  /** By the id of the lease that was not released. */
  readonly leaseKeepers = new Map<string, KeeperRecord>();
  /** Told of everything that a successor must know. */
  record: (change: LedgerChange) => void = () => {};

  addVersion({ id, set, sharing }: NewVersion): VersionRecord {
    const version: VersionRecord = {
      id,
      set,
      sharing,
      state: "staged",
      pinned: false,
      handedBack: false,
      held: new Set(),
      awaited: new Set(),
      keepers: new Map(),
      reported: { count: 0, exact: this.awaited.size === 0 },
      recorded: "",
    };
    version.recorded = stateOf(version);
    this.versions.set(id, version);
    return version;
  }

  /** Records a version's state if it is another one than was recorded last. */
  recordState(version: VersionRecord): void {
    const now = stateOf(version);
    if (now === version.recorded) return;
    version.recorded = now;
    const { id, state, pinned, handedBack } = version;
    if (state === "freed") this.record({ op: "versionGone", id });
    else this.record({ op: "versionState", id, state, pinned, handedBack });
  }

  dropVersion(version: VersionRecord): void {
    version.state = "freed";
    this.versions.delete(version.id);
    this.recordState(version);
  }

  process(identity: ProcessIdentity): ProcessRecord {
    let process = this.processes.get(identity.key);
    if (process === undefined) {
      process = { identity, leases: new Set(), keepers: new Set(), connections: new Set() };
      this.processes.set(identity.key, process);
    }
    return process;
  }

  openConnection(id: number, process: ProcessRecord): void {
    const connection = { id, process, leases: new Set<LeaseRecord>() };
    this.connections.set(id, connection);
    process.connections.add(connection);
  }

  dropConnection(connection: ConnectionRecord): void {
    this.connections.delete(connection.id);
    connection.process.connections.delete(connection);
    this.forgetIdle(connection.process);
  }

  addLease(
    id: string,
    version: VersionRecord,
    owner: ConnectionRecord | ProcessRecord,
    since: number,
  ): LeaseRecord {
    const connection = "process" in owner ? owner : undefined;
    const process = connection?.process ?? (owner as ProcessRecord);
    const lease: LeaseRecord = { id, version, process, since, connection };
    this.recordProcess(process);
    this.record({ op: "leaseGranted", id, version: version.id, process: process.identity.key, since });
    this.leases.set(id, lease);
    process.leases.add(lease);
    connection?.leases.add(lease);
    if (connection === undefined) {
      version.awaited.add(lease);
      this.awaited.add(lease);
    } else {
      version.held.add(lease);
    }
    return lease;
  }

  /** Puts a lease on an open connection of its process, whatever it was before. */
  bind(lease: LeaseRecord, connection: ConnectionRecord): void {
    lease.connection?.leases.delete(lease);
    lease.connection = connection;
    connection.leases.add(lease);
    this.awaited.delete(lease);
    lease.version.awaited.delete(lease);
    lease.version.held.add(lease);
  }

  orphan(lease: LeaseRecord): void {
    lease.connection?.leases.delete(lease);
    lease.connection = undefined;
  }

  dropLease(lease: LeaseRecord): void {
    this.record({ op: "leaseEnded", id: lease.id });
    this.leases.delete(lease.id);
    this.awaited.delete(lease);
    lease.version.held.delete(lease);
    lease.version.awaited.delete(lease);
    lease.connection?.leases.delete(lease);
    lease.process.leases.delete(lease);
    this.forgetIdle(lease.process);
  }

  addKeeper(id: string, version: VersionRecord, process: ProcessRecord | undefined, since: number): void {
    const keeper = { id, version, process, since };
    if (process !== undefined) this.recordProcess(process);
    const key = process?.identity.key ?? null;
    this.record({ op: "keeperAdded", id, version: version.id, process: key, since });
    version.keepers.set(id, keeper);
    if (process === undefined) return;
    process.keepers.add(keeper);
    this.leaseKeepers.set(id, keeper);
  }

  dropKeeper(keeper: KeeperRecord): void {
    this.record({ op: "keeperGone", id: keeper.id, version: keeper.version.id });
    keeper.version.keepers.delete(keeper.id);
    if (keeper.process === undefined) return;
    this.leaseKeepers.delete(keeper.id);
    keeper.process.keepers.delete(keeper);
    this.forgetIdle(keeper.process);
  }

  /** A lease that was not released still takes its slot: a process cannot get round the limit by reconnecting. */
  checkRoom(process: ProcessRecord, limits: LedgerLimits): void {
    const own = process.leases.size + process.keepers.size;
    if (own >= limits.leasesPerProcess) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_LEASE_LIMIT",
        `Process ${process.identity.pid} holds ${own} leases, and ${limits.leasesPerProcess} is the limit for one process. Release those it does not use, or raise the owner's limit.`,
        { details: { scope: "process", leases: own, limit: limits.leasesPerProcess } },
      );
    }
    const all = this.leases.size + this.leaseKeepers.size;
    if (all >= limits.leases) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_LEASE_LIMIT",
        `The owner has granted ${all} leases, and ${limits.leases} is its limit. Release some, or raise the limit.`,
        { details: { scope: "owner", leases: all, limit: limits.leases } },
      );
    }
  }

  private recordProcess({ identity, leases, keepers }: ProcessRecord): void {
    if (leases.size + keepers.size === 0) this.record({ op: "process", process: { ...identity } });
  }

  private forgetIdle(process: ProcessRecord): void {
    if (process.leases.size + process.keepers.size + process.connections.size === 0) {
      this.processes.delete(process.identity.key);
    }
  }
}

export function stateOf({ state, pinned, handedBack }: VersionRecord): string {
  return `${state} ${pinned} ${handedBack}`;
}
