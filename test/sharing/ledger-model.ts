import type { LeaseEnd, NewVersion, ProcessIdentity } from "../../dist/lib/sharing/ledger.js";

/**
 * The ledger once more, as dumb as possible: flat arrays, and every answer computed from all of them.
 * What the two disagree about is a mistake in one of them.
 */
export class LedgerModel {
  versions: {
    id: string;
    set: string;
    sharing: NewVersion["sharing"];
    state: string;
    pinned: boolean;
    handedBack: boolean;
  }[] = [];
  leases: {
    id: string;
    version: string;
    process: string;
    connection: number | null;
    awaited: boolean;
    since: number;
  }[] = [];
  keepers: { id: string; version: string; process: string | null; since: number }[] = [];
  connections: { id: number; process: string }[] = [];
  processes: ProcessIdentity[] = [];
  everFreeable: string[] = [];
  everFreed: string[] = [];
  ended: { lease: string; reason: LeaseEnd }[] = [];

  constructor(readonly limits: { leases: number; leasesPerProcess: number; unprovenGraceMs: number }) {}

  version(id: string) {
    return this.versions.find((version) => version.id === id);
  }

  live(id: string) {
    const version = this.version(id);
    return version === undefined || ["released", "freed"].includes(version.state) ? undefined : version;
  }

  identity(key: string) {
    return this.processes.find((process) => process.key === key)!;
  }

  count(version: string) {
    return this.leases.filter((lease) => lease.version === version && !lease.awaited).length;
  }

  recovering() {
    return this.leases.some((lease) => lease.awaited);
  }

  end(which: (lease: LedgerModel["leases"][number]) => boolean, reason: LeaseEnd) {
    for (const lease of this.leases.filter(which)) this.ended.push({ lease: lease.id, reason });
    this.leases = this.leases.filter((lease) => !which(lease));
  }

  /** What becomes free, found by looking at everything. */
  collect() {
    for (const version of this.versions) {
      const unwanted = (version.state === "superseded" || version.state === "retired") && !version.pinned;
      const leased = this.leases.some((lease) => lease.version === version.id);
      if (unwanted && !leased && !this.recovering()) {
        version.state = "released";
        this.everFreeable.push(version.id);
      }
      const kept = this.keepers.some((keeper) => keeper.version === version.id);
      if (version.state === "released" && version.handedBack && !kept) {
        version.state = "freed";
        this.everFreed.push(version.id);
      }
    }
  }

  publish(id: string) {
    const version = this.live(id);
    if (version === undefined) return "ERR_CUDA_IPC_NO_VERSION";
    for (const other of this.versions) {
      if (other.set === version.set && other.state === "current") other.state = "superseded";
    }
    version.state = "current";
    return undefined;
  }

  retire(set: string) {
    const published = this.versions.filter(
      (version) => version.set === set && ["current", "superseded", "retired"].includes(version.state),
    );
    if (published.length === 0) return "ERR_CUDA_IPC_NO_SET";
    for (const version of published) version.state = "retired";
    return undefined;
  }

  /** The refusal, or undefined after one more lease or the same one again. */
  take(id: string, versionId: string, connectionId: number, now: number, retaining: boolean) {
    const connection = this.connections.find((candidate) => candidate.id === connectionId);
    if (connection === undefined) return "ERR_CUDA_IPC_CONNECTION_LOST";
    const same = (record: { id: string; version: string; process: string | null }) =>
      record.version === versionId && record.process === connection.process;
    const lease = this.leases.find((candidate) => candidate.id === id);
    const keeper = this.keepers.find((candidate) => candidate.id === id && candidate.process !== null);
    const taken = lease ?? keeper;
    if (taken !== undefined && !same(taken)) return "ERR_CUDA_IPC_LEASE_EXISTS";
    if (taken !== undefined) {
      return this.reclaim([id], connectionId)?.length === 1 ? undefined : "ERR_CUDA_IPC_LEASE_UNKNOWN";
    }
    const version = this.live(versionId);
    if (version === undefined) return "ERR_CUDA_IPC_NO_VERSION";
    if (!retaining && version.state === "retired") return "ERR_CUDA_IPC_RETIRED";
    if (!retaining && version.state === "staged") return "ERR_CUDA_IPC_NO_VERSION";
    const { key, proven } = this.identity(connection.process);
    if (version.sharing === "ipc" && !proven) return "ERR_CUDA_IPC_PEER_UNPROVEN";
    const slots = [...this.leases, ...this.keepers.filter((candidate) => candidate.process !== null)];
    const own = slots.filter((slot) => slot.process === key).length;
    if (own >= this.limits.leasesPerProcess || slots.length >= this.limits.leases) {
      return "ERR_CUDA_IPC_LEASE_LIMIT";
    }
    this.leases.push({
      id,
      version: versionId,
      process: key,
      connection: connectionId,
      awaited: false,
      since: now,
    });
    return undefined;
  }

  /** Undefined when one of the leases is somebody else's. */
  reclaim(ids: string[], connectionId: number): string[] | undefined {
    const { process } = this.connections.find((candidate) => candidate.id === connectionId)!;
    if (this.foreign(ids, process)) return undefined;
    return [...new Set(ids)].filter((id) => {
      const lease = this.leases.find((candidate) => candidate.id === id);
      if (lease !== undefined) {
        Object.assign(lease, { connection: connectionId, awaited: false, process });
        return true;
      }
      const keeper = this.keepers.find((candidate) => candidate.id === id && candidate.process === process);
      if (keeper === undefined || this.live(keeper.version) === undefined) return false;
      this.keepers = this.keepers.filter((candidate) => candidate !== keeper);
      const { version, since } = keeper;
      this.leases.push({ id, version, process, connection: connectionId, awaited: false, since });
      return true;
    });
  }

  release(ids: string[], connectionId: number) {
    const connection = this.connections.find((candidate) => candidate.id === connectionId);
    if (connection === undefined) return "ERR_CUDA_IPC_CONNECTION_LOST";
    if (this.foreign(ids, connection.process)) return "ERR_CUDA_IPC_LEASE_FOREIGN";
    this.end((lease) => ids.includes(lease.id), "released");
    this.keepers = this.keepers.filter((keeper) => keeper.process === null || !ids.includes(keeper.id));
    return undefined;
  }

  closed(connectionId: number, now: number) {
    const sharing = (lease: { version: string }) => this.version(lease.version)!.sharing;
    const mine = this.leases.filter((lease) => lease.connection === connectionId);
    for (const lease of mine) {
      if (sharing(lease) === "ipc") lease.connection = null;
      else this.keepers.push({ id: lease.id, version: lease.version, process: lease.process, since: now });
    }
    this.end((lease) => lease.connection === connectionId, "connection-closed");
    this.connections = this.connections.filter((connection) => connection.id !== connectionId);
  }

  exited(process: string) {
    this.end((lease) => lease.process === process, "process-exited");
    this.keepers = this.keepers.filter((keeper) => keeper.process !== process);
    this.connections = this.connections.filter((connection) => connection.process !== process);
  }

  expire(now: number, awaitUntil: number) {
    const unproven = (process: string | null) => process !== null && !this.identity(process).proven;
    this.end((lease) => lease.awaited && unproven(lease.process) && now >= awaitUntil, "deadline");
    this.keepers = this.keepers.filter(
      (keeper) => !(unproven(keeper.process) && now >= keeper.since + this.limits.unprovenGraceMs),
    );
  }

  restored() {
    for (const lease of this.leases) Object.assign(lease, { connection: null, awaited: true });
    this.connections = [];
  }

  private foreign(ids: string[], process: string) {
    const others = [...this.leases.filter((lease) => !this.comesBack(lease, process)), ...this.keepers];
    return others.some(
      (record) => ids.includes(record.id) && record.process !== null && record.process !== process,
    );
  }

  /** Nobody can say whose an awaited lease of an unproven process is: any process of that user may come for it. */
  private comesBack(lease: LedgerModel["leases"][number], process: string) {
    const was = this.identity(lease.process);
    return lease.awaited && !was.proven && was.uid === this.identity(process).uid;
  }
}
