import { CudaIpcError } from "../errors.js";
import { Operation } from "./ledger-effects.js";
import { checkHolder, invalidState, unknownVersion } from "./ledger-errors.js";
import { fillTable } from "./ledger-snapshot.js";
import type {
  ConnectionRecord,
  KeeperRecord,
  LeaseRecord,
  ProcessRecord,
  VersionRecord,
} from "./ledger-table.js";
import {
  defaultLimits,
  type Effects,
  type LedgerLimits,
  type LedgerSnapshot,
  type ProcessIdentity,
} from "./ledger-types.js";
import { VersionLedger } from "./ledger-versions.js";

export * from "./ledger-types.js";

/**
 * The owner's table of leases: who holds which version, and what becomes free when they stop.
 *
 * Pure: it reads no clock, owns no memory and closes nothing. Every operation either throws and has changed
 * nothing, or returns what it changed. The caller hands back the memory of the versions named `freeable` and
 * reports it with `handedBack`.
 */
export class Ledger extends VersionLedger {
  private readonly limits: LedgerLimits;
  /** Until when awaited leases of processes whose death cannot be proven are awaited. */
  private awaitUntil = Number.POSITIVE_INFINITY;

  constructor(limits: Partial<LedgerLimits> = {}) {
    super();
    this.limits = { ...defaultLimits, ...limits };
  }

  /** The successor of the owner that took the snapshot: all its leases are awaited, nothing is freed meanwhile. */
  static restore(
    snapshot: LedgerSnapshot,
    options: { awaitUntil: number; limits?: Partial<LedgerLimits> },
  ): Ledger {
    const ledger = new Ledger(options.limits);
    ledger.awaitUntil = options.awaitUntil;
    fillTable(ledger.table, snapshot);
    return ledger;
  }

  // Connections and processes

  connectionOpened(connection: number, identity: ProcessIdentity): void {
    if (this.table.connections.has(connection)) {
      throw invalidState(`The connection ${connection} is in the ledger already.`);
    }
    const process = this.table.process(identity);
    process.identity = identity;
    this.table.openConnection(connection, process);
  }

  /**
   * End-of-file is not death. `vmm` leases end all the same, because their holder's own mapping keeps the
   * memory; the process is a keeper until it says otherwise or is dead. `ipc` leases go on without a connection.
   */
  connectionClosed(id: number, now: number): Effects {
    const operation = new Operation(this.table);
    const connection = this.table.connections.get(id);
    if (connection === undefined) return operation.settle();
    for (const lease of [...connection.leases]) {
      if (lease.version.sharing === "ipc") {
        this.table.orphan(lease);
        operation.effects.orphaned.push(lease.id);
      } else {
        operation.end(lease, "connection-closed");
        this.table.addKeeper(lease.id, lease.version, lease.process, now);
      }
    }
    this.table.dropConnection(connection);
    return operation.settle();
  }

  /** The process is provably dead: everything it held ends, and no connection of it is good for anything more. */
  processExited(key: string): Effects {
    const operation = new Operation(this.table);
    const process = this.table.processes.get(key);
    if (process === undefined) return operation.settle();
    for (const lease of [...process.leases]) operation.end(lease, "process-exited");
    for (const keeper of [...process.keepers]) {
      this.table.dropKeeper(keeper);
      operation.touch(keeper.version);
    }
    for (const connection of [...process.connections]) this.table.dropConnection(connection);
    return operation.settle();
  }

  /** Whether a process of a snapshot could be put under a pidfd; where not, its leases have a deadline. */
  setProven(key: string, proven: boolean): void {
    const process = this.table.processes.get(key);
    if (process !== undefined) process.identity = { ...process.identity, proven };
  }

  // Leases

  /**
   * One more reference for the connection's process, under an id chosen by it. The same process may repeat a
   * grant whose reply was lost; `fresh` is false then.
   */
  grant(
    { lease, version, connection }: { lease: string; version: string; connection: number },
    now: number,
  ): Effects & { fresh: boolean } {
    const { process } = this.openConnection(connection);
    const existing = this.sameGrant(lease, process, version);
    if (existing !== undefined) return this.resume(existing, connection);
    const record = this.liveVersion(version);
    if (record.state === "retired") {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_RETIRED",
        `The weight set ${JSON.stringify(record.set)} has been retired by its owner and is not handed out any more.`,
      );
    }
    if (record.state === "staged") throw unknownVersion(version);
    return this.add(lease, record, connection, now);
  }

  /** One more reference on a version of which the process holds a lease already, even when it is retired. */
  retain(
    { lease, newLease, connection }: { lease: string; newLease: string; connection: number },
    now: number,
  ): Effects & { fresh: boolean; version: string } {
    const { process } = this.openConnection(connection);
    const retained = this.table.leases.get(lease);
    const version = retained?.version.id ?? this.table.leases.get(newLease)?.version.id;
    if (version === undefined) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_LEASE_UNKNOWN",
        `The lease ${lease} has ended, so it cannot be retained. Attach again.`,
      );
    }
    if (retained !== undefined) checkHolder(retained.process, process, lease);
    const existing = this.sameGrant(newLease, process, version);
    if (existing !== undefined) return { ...this.resume(existing, connection), version };
    return { ...this.add(newLease, this.liveVersion(version), connection, now), version };
  }

  /**
   * Ends leases of the connection's process, on whichever of its connections they are. Those that have ended
   * already are skipped; one of another process refuses all of them.
   */
  release(leases: Iterable<string>, connection: number): Effects {
    const ids = new Set(leases);
    const { process } = this.openConnection(connection);
    for (const id of ids) this.checkOwn(id, process);
    const operation = new Operation(this.table);
    for (const id of ids) {
      const lease = this.table.leases.get(id);
      if (lease !== undefined) operation.end(lease, "released");
      const keeper = this.table.leaseKeepers.get(id);
      if (keeper === undefined) continue;
      this.table.dropKeeper(keeper);
      operation.touch(keeper.version);
    }
    return operation.settle();
  }

  /** The connection's holder has let go of all it held there, and is gone: what its process holds elsewhere stays. */
  farewell(connection: number): Effects {
    const { leases } = this.openConnection(connection);
    return this.release(
      [...leases].map(({ id }) => id),
      connection,
    );
  }

  /**
   * Puts leases that lost their connection, or their owner, on a new connection of the same process. A lease
   * that has ended is `kept` only if its process was still a keeper and the version is alive.
   */
  reclaim(leases: Iterable<string>, connection: number): Effects & { kept: string[] } {
    const ids = new Set(leases);
    const open = this.openConnection(connection);
    for (const id of ids) this.checkOwn(id, open.process);
    const operation = new Operation(this.table);
    const kept = [...ids].filter((id) => {
      const lease = this.returned(id, open) ?? this.revive(id, open);
      if (lease === undefined) return false;
      this.table.bind(lease, open);
      operation.touch(lease.version);
      return true;
    });
    return { ...operation.settle(), kept };
  }

  // Time

  /** Ends what is held by processes whose death cannot be proven and whose time is up. */
  expire(now: number): Effects {
    const operation = new Operation(this.table);
    if (now >= this.awaitUntil) {
      for (const lease of [...this.table.awaited]) {
        if (!lease.process.identity.proven) operation.end(lease, "deadline");
      }
    }
    for (const keeper of [...this.table.leaseKeepers.values()]) {
      if (now < this.keeperDeadline(keeper)) continue;
      this.table.dropKeeper(keeper);
      operation.touch(keeper.version);
    }
    return operation.settle();
  }

  /** When `expire` next has something to do. */
  nextDeadline(): number | undefined {
    let next = Number.POSITIVE_INFINITY;
    for (const lease of this.table.awaited) {
      if (!lease.process.identity.proven) next = Math.min(next, this.awaitUntil);
    }
    for (const keeper of this.table.leaseKeepers.values()) next = Math.min(next, this.keeperDeadline(keeper));
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  // Inside

  /** A grant must not outlive its connection, so an owner that answers late is refused here. */
  private openConnection(id: number): ConnectionRecord {
    const connection = this.table.connections.get(id);
    if (connection !== undefined) return connection;
    throw new CudaIpcError(
      "ERR_CUDA_IPC_CONNECTION_LOST",
      "The connection was closed before it was answered.",
    );
  }

  private checkOwn(id: string, process: ProcessRecord): void {
    const lease = this.table.leases.get(id);
    if (lease !== undefined && this.comesBack(lease, process)) return;
    const record = lease ?? this.table.leaseKeepers.get(id);
    if (record?.process !== undefined) checkHolder(record.process, process, id);
  }

  /**
   * A process that the owner cannot name (it is in another PID namespace) comes back to the owner's successor as a
   * stranger: it is known by its user and by the ids of its leases.
   */
  private comesBack(lease: LeaseRecord, process: ProcessRecord): boolean {
    const { proven, uid } = lease.process.identity;
    return this.table.awaited.has(lease) && !proven && uid === process.identity.uid;
  }

  private returned(id: string, connection: ConnectionRecord): LeaseRecord | undefined {
    const lease = this.table.leases.get(id);
    if (lease === undefined || lease.process === connection.process) return lease;
    this.table.dropLease(lease);
    return this.table.addLease(id, lease.version, connection, lease.since);
  }

  /** The lease of that id if it is the same grant once more; refuses an id that is taken. */
  private sameGrant(id: string, process: ProcessRecord, version: string): string | undefined {
    const taken = this.table.leases.get(id) ?? this.table.leaseKeepers.get(id);
    if (taken === undefined) return undefined;
    if (taken.process === process && taken.version.id === version) return id;
    throw new CudaIpcError(
      "ERR_CUDA_IPC_LEASE_EXISTS",
      `The lease id ${id} is in use for something else. Lease ids must be random.`,
    );
  }

  private resume(lease: string, connection: number): Effects & { fresh: boolean } {
    const { kept, ...effects } = this.reclaim([lease], connection);
    if (kept.length === 0) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_LEASE_UNKNOWN",
        `The lease ${lease} ended with its connection and its version is being freed. Attach again with a new id.`,
      );
    }
    return { ...effects, fresh: false };
  }

  private add(
    id: string,
    version: VersionRecord,
    connectionId: number,
    now: number,
  ): Effects & { fresh: boolean } {
    const connection = this.openConnection(connectionId);
    const { pid, proven } = connection.process.identity;
    if (version.sharing === "ipc" && !proven) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_PEER_UNPROVEN",
        `The death of process ${pid} could not be proven (no pidfd of it), so it is refused memory shared as "ipc". Publish the weights with sharing "vmm".`,
      );
    }
    this.table.checkRoom(connection.process, this.limits);
    this.table.addLease(id, version, connection, now);
    return { ...this.settle(version), fresh: true };
  }

  private revive(id: string, connection: ConnectionRecord): LeaseRecord | undefined {
    const keeper = this.table.leaseKeepers.get(id);
    if (keeper === undefined || keeper.version.state === "released") return undefined;
    this.table.dropKeeper(keeper);
    return this.table.addLease(id, keeper.version, connection, keeper.since);
  }

  private keeperDeadline({ process, since }: KeeperRecord): number {
    const unproven = process !== undefined && !process.identity.proven;
    return unproven ? since + this.limits.unprovenGraceMs : Number.POSITIVE_INFINITY;
  }
}
