import { Catalog, type Presence, type VersionMemory } from "./catalog.js";
import { Ledger, type LedgerLimits } from "./ledger.js";
import { type LockLimits, LockTable } from "./lock-table.js";
import { StateLog } from "./state-log.js";
import { StoredState, type VersionRecord } from "./stored-state.js";
import { restoredEntry, storedVersion } from "./stored-version.js";

/** What an owner is made of, apart from its socket. */
export interface OwnerParts {
  readonly log: StateLog;
  readonly ledger: Ledger;
  readonly catalog: Catalog;
  readonly locks: LockTable;
}

export interface AdoptOptions {
  limits?: Partial<LedgerLimits & LockLimits>;
  /** Until when leases of processes whose death cannot be proven are awaited: milliseconds since the epoch. */
  awaitUntil: number;
  /** The memory of a version, where it is at hand. What it returns is the new owner's. */
  memory?: (version: VersionRecord) => VersionMemory | undefined;
}

export function newOwnerParts(limits: Partial<LedgerLimits & LockLimits> | undefined): OwnerParts {
  return wire(new Ledger(limits), new LockTable(limits));
}

/** All that a successor must know, but for the memory: its descriptors are `slabs[n].fd` of the catalog's entries. */
export function exportState({ catalog, ledger, locks }: OwnerParts): StoredState {
  const { versions, processes, leases } = ledger.snapshot();
  const state = StoredState.of(
    [...catalog.usedNumbers].map(([set, number]) => ({ op: "numberUsed", set, number })),
  );
  for (const process of processes) state.apply({ op: "process", process });
  for (const { id, state: name, pinned, handedBack, keepers } of versions) {
    const entry = catalog.get(id);
    if (entry === undefined || name === "freed") continue;
    state.apply({ op: "versionAdded", version: storedVersion(entry) });
    state.apply({ op: "versionState", id, state: name, pinned, handedBack });
    for (const keeper of keepers) state.apply({ op: "keeperAdded", ...keeper, version: id });
  }
  for (const lease of leases) state.apply({ op: "leaseGranted", ...lease });
  for (const { process, ...lock } of locks.snapshot().locks) {
    state.apply({ op: "process", process });
    state.apply({ op: "lockHeld", lock: { ...lock, process: process.key } });
  }
  return state;
}

/**
 * The parts of the successor: every lease is awaited until its process returns or is proven dead, and nothing is
 * freed meanwhile. Versions whose memory is at hand are published at once, others are awaited; `ipc` memory has died
 * with its owner for everybody who does not have it mapped. Throws ERR_CUDA_IPC_SNAPSHOT when the state contradicts
 * itself.
 */
export function adoptState(state: StoredState, { limits, awaitUntil, memory }: AdoptOptions): OwnerParts {
  dropUnfinished(state);
  const found = new Map<string, VersionMemory>();
  for (const version of state.versions.values()) {
    if (version.state === "released") continue;
    if (version.sharing === "ipc") {
      Object.assign(version, { state: "retired", pinned: false });
      continue;
    }
    const memoryOfIt = memory?.(version);
    if (memoryOfIt !== undefined) found.set(version.id, memoryOfIt);
  }
  const ledger = Ledger.restore(state.ledger(), { awaitUntil, limits });
  const locks = LockTable.restore(state.lockSnapshot(), { limits, awaitUntil });
  const parts = wire(ledger, locks);
  // Nobody is awaited, so nothing will end the recovery: it has ended.
  if (!ledger.recovering) locks.recovered(0);
  for (const version of state.versions.values()) {
    parts.catalog.restore(restoredEntry(version, found.get(version.id) ?? presenceWithout(version)));
  }
  for (const [set, number] of state.numbers) parts.catalog.useNumber(set, number);
  return parts;
}

function presenceWithout({ sharing, state }: VersionRecord): Presence {
  // What is released has been let go of: nobody is expected to bring it.
  if (state === "released") return "present";
  return sharing === "ipc" ? "orphaned" : "awaited";
}

/** What was never published has nobody; what was being freed is freed, but for those who keep it still. */
function dropUnfinished(state: StoredState): void {
  for (const version of [...state.versions.values()]) {
    if (version.state === "released") version.handedBack = true;
    else if (version.state !== "staged") continue;
    if (version.state === "released" && version.keepers.size > 0) continue;
    state.versions.delete(version.id);
    for (const lease of [...state.leases.values()]) {
      if (lease.version === version.id) state.leases.delete(lease.id);
    }
  }
}

function wire(ledger: Ledger, locks: LockTable): OwnerParts {
  const log = new StateLog();
  ledger.recordTo(log.record);
  return { log, ledger, catalog: new Catalog(ledger, log), locks };
}
