import { CudaIpcError } from "../errors.js";
import { type LedgerTable, stateOf } from "./ledger-table.js";
import type { LedgerSnapshot } from "./ledger-types.js";

/** Everything a successor needs, and nothing that dies with this owner (connections, orphanhood). */
export function takeSnapshot(table: LedgerTable): LedgerSnapshot {
  return {
    format: 1,
    versions: [...table.versions.values()].map((version) => ({
      id: version.id,
      set: version.set,
      sharing: version.sharing,
      state: version.state,
      pinned: version.pinned,
      handedBack: version.handedBack,
      keepers: [...version.keepers.values()].map((keeper) => ({
        id: keeper.id,
        process: keeper.process?.identity.key ?? null,
        since: keeper.since,
      })),
    })),
    processes: [...table.processes.values()]
      .filter((process) => process.leases.size + process.keepers.size > 0)
      .map((process) => ({ ...process.identity })),
    leases: [...table.leases.values()].map((lease) => ({
      id: lease.id,
      version: lease.version.id,
      process: lease.process.identity.key,
      since: lease.since,
    })),
  };
}

/** Fills an empty table. Every lease is awaited until its process returns or is proven dead. */
export function fillTable(table: LedgerTable, snapshot: LedgerSnapshot): void {
  for (const identity of snapshot.processes) table.process({ ...identity });
  const processOf = (key: string) => table.processes.get(key) ?? dangling("process", key);

  for (const { keepers, state, pinned, handedBack, ...version } of snapshot.versions) {
    if (table.versions.has(version.id)) twice("version", version.id);
    const record = Object.assign(table.addVersion(version), { state, pinned, handedBack });
    for (const { id, process, since } of keepers) {
      table.addKeeper(id, record, process === null ? undefined : processOf(process), since);
    }
  }
  for (const { id, version, process, since } of snapshot.leases) {
    if (table.leases.has(id)) twice("lease", id);
    const record = table.versions.get(version) ?? dangling("version", version);
    table.addLease(id, record, processOf(process), since);
  }
  for (const version of table.versions.values()) {
    version.reported = { count: 0, exact: table.awaited.size === 0 };
    version.recorded = stateOf(version);
  }
}

function dangling(what: string, id: string): never {
  throw new CudaIpcError(
    "ERR_CUDA_IPC_SNAPSHOT",
    `The ledger's snapshot refers to the ${what} ${id} and does not contain it: it is damaged and cannot be restored.`,
  );
}

function twice(what: string, id: string): never {
  throw new CudaIpcError(
    "ERR_CUDA_IPC_SNAPSHOT",
    `The ledger's snapshot contains the ${what} ${id} twice: it is damaged and cannot be restored.`,
  );
}
