import { EventEmitter } from "node:events";
import { CudaIpcError } from "../errors.js";
import type { LoadedSlabs } from "../loading/loaded.js";
import { closeSlab, type OwnedSlab } from "../loading/owned-slab.js";
import type { TensorEntry } from "../loading/plan.js";
import type { StoredVersion } from "../wire/changes.js";
import type { VersionFacts } from "./attachment.js";
import type { Effects, Ledger } from "./ledger.js";
import { manifestDigest } from "./manifest-digest.js";
import { closeManifestFile } from "./manifest-file.js";
import type { StateLog } from "./state-log.js";
import { storedVersion } from "./stored-version.js";

/**
 * - `present`: the owner has the memory and hands it out
 * - `awaited`: the memory of an owner that died; some worker is expected to give it back
 * - `orphaned`: `ipc` memory of an owner that died: whoever has it mapped keeps it, nobody else can open it
 */
export type Presence = "present" | "awaited" | "orphaned";

/** What makes a version present. */
export interface VersionMemory {
  readonly slabs: readonly OwnedSlab[];
  readonly tensors: readonly TensorEntry[];
}

/** A version as its owner keeps it: the memory, and what a worker is told about it. */
export interface CatalogEntry extends VersionFacts, VersionMemory {
  readonly presence: Presence;
  /** The number of tensors; `tensors` itself is empty unless the version is present. */
  readonly tensorCount: number;
  /** Digest of the list of tensors. */
  readonly manifest: string;
  /** Bytes of device memory, in slabs. */
  readonly bytes: number;
  /** Where it came from, for people. */
  readonly source: string;
  /** What it was loaded from and to, as far as that can be known again: see `originOf`. */
  readonly origin?: StoredVersion["origin"];
  /** Milliseconds since the epoch. */
  readonly loadedAt: number;
}

/** What is said of memory that becomes a version. */
export interface Publication extends Pick<CatalogEntry, "id" | "set" | "writable" | "source" | "origin"> {
  readonly pinned: boolean;
  /** The tensors' digest, where it is known. */
  readonly manifest?: string;
}

interface CatalogEvents {
  /** The count of leases on a version is another one now. */
  count: [{ version: string; count: number; exact: boolean }];
  /** A lease ended, and why. */
  ended: [{ lease: string; version: string; process: string; reason: string }];
  /** A version's memory is about to be handed back: it waits for whatever a listener hands to `until`. */
  leaving: [entry: CatalogEntry, until: (returned: Promise<void>) => void];
  /** A version's memory is gone. */
  freed: [CatalogEntry];
  /** A version is gone that was awaited: nobody could give its memory back. */
  lost: [CatalogEntry];
  /** A version that was awaited is present. */
  supplied: [CatalogEntry];
  /** The last lease of an owner that died is accounted for. */
  recovered: [];
  /** A version's memory could not be handed back. */
  error: [CudaIpcError | Error];
}

/**
 * The owner's versions and their memory. The ledger decides, the catalog does: every Effects that the ledger
 * returns goes through `apply`, which hands back the memory of what became free.
 */
export class Catalog extends EventEmitter<CatalogEvents> {
  private readonly entries = new Map<string, CatalogEntry>();
  private readonly numbers = new Map<string, number>();
  private readonly handingBack = new Set<Promise<void>>();

  constructor(
    private readonly ledger: Ledger,
    private readonly log: StateLog,
  ) {
    super();
  }

  get(version: string): CatalogEntry | undefined {
    return this.entries.get(version);
  }

  current(set: string): CatalogEntry | undefined {
    const id = this.ledger.current(set);
    return id === undefined ? undefined : this.entries.get(id);
  }

  list(): CatalogEntry[] {
    return [...this.entries.values()];
  }

  /** The highest number that each set has used. */
  get usedNumbers(): ReadonlyMap<string, number> {
    return this.numbers;
  }

  /** Adds what another owner has left; the ledger knows the version already. */
  restore(entry: CatalogEntry): void {
    this.entries.set(entry.id, entry);
  }

  useNumber(set: string, number: number): void {
    this.numbers.set(set, Math.max(number, this.numbers.get(set) ?? 0));
  }

  /** The memory of an awaited version has come back; takes it over. */
  supply(id: string, { slabs, tensors }: VersionMemory): void {
    const entry = this.entries.get(id)!;
    Object.assign(entry, { slabs, tensors, presence: "present" } satisfies Partial<CatalogEntry>);
    this.emit("supplied", entry);
  }

  /** Takes over the memory of a load and makes it the set's current version, in one step. */
  publish(
    facts: Publication,
    sharing: "vmm" | "ipc",
    loaded: LoadedSlabs,
  ): { entry: CatalogEntry; superseded: string | undefined } {
    const number = (this.numbers.get(facts.set) ?? 0) + 1;
    this.numbers.set(facts.set, number);
    const entry: CatalogEntry = {
      id: facts.id,
      set: facts.set,
      number,
      sharing,
      writable: facts.writable,
      checksum: loaded.checksum,
      slabs: loaded.slabs,
      tensors: loaded.tensors,
      presence: "present",
      tensorCount: loaded.tensors.length,
      manifest: facts.manifest ?? manifestDigest(loaded.tensors),
      bytes: loaded.slabs.reduce((sum, slab) => sum + slab.bytes, 0),
      source: facts.source,
      origin: facts.origin,
      loadedAt: Date.now(),
    };
    this.log.record({ op: "versionAdded", version: storedVersion(entry) });
    this.ledger.addVersion({ id: entry.id, set: entry.set, sharing });
    this.entries.set(entry.id, entry);
    if (facts.pinned) this.apply(this.ledger.pin(entry.id));
    const { superseded, ...effects } = this.ledger.publish(entry.id);
    this.apply(effects);
    return { entry, superseded };
  }

  /** Makes a superseded version current again. */
  reinstate(set: string, id: string): CatalogEntry {
    const entry = this.entries.get(id);
    const state = this.ledger.version(id)?.state;
    if (entry === undefined || entry.set !== set || state === undefined || state === "released") {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_NO_VERSION",
        `The weight set ${JSON.stringify(set)} has no version ${id} any more: a version that nobody holds is freed unless it is pinned. Pin what may have to come back, or load it again.`,
        { details: { set, version: id } },
      );
    }
    if (state === "current") return entry;
    if (state !== "superseded" || entry.presence !== "present") {
      const why =
        state === "retired" ? "its set was withdrawn" : "its memory has not come back from the owner before";
      throw new CudaIpcError(
        state === "retired" ? "ERR_CUDA_IPC_RETIRED" : "ERR_CUDA_IPC_INVALID_STATE",
        `Version ${entry.number} of ${JSON.stringify(set)} cannot be made current: ${why}. Load it again.`,
        { details: { set, version: id, state, presence: entry.presence } },
      );
    }
    const { superseded, ...effects } = this.ledger.publish(id);
    this.apply(effects);
    return entry;
  }

  /** Acts on what the ledger decided, after it was written down. */
  apply(effects: Effects): void {
    this.log.commit();
    for (const end of effects.ended) this.emit("ended", end);
    for (const { version, count, exact } of effects.counts) this.emit("count", { version, count, exact });
    for (const id of effects.freeable) this.handBack(id);
    for (const id of effects.freed) this.forget(id);
    if (effects.recovered) this.emit("recovered");
  }

  /** Settles when no memory is on its way back any more. */
  async settled(): Promise<void> {
    while (this.handingBack.size > 0) await Promise.all(this.handingBack);
  }

  private handBack(id: string): void {
    const entry = this.entries.get(id)!;
    const loans: Promise<void>[] = [];
    this.emit("leaving", entry, (returned) => loans.push(returned));
    // No lease says so, but it may be in use: that may last, and nobody who waits for `settled` is to wait for it.
    if (loans.length === 0) this.close(entry);
    else void Promise.all(loans).then(() => this.close(entry));
  }

  private close(entry: CatalogEntry): void {
    const { id } = entry;
    const work = Promise.allSettled(entry.slabs.map(closeSlab)).then((results) => {
      this.handingBack.delete(work);
      for (const result of results) if (result.status === "rejected") this.emit("error", result.reason);
      // Lost meanwhile, it is nobody's concern any more.
      if (this.entries.has(id)) this.apply(this.ledger.handedBack(id));
    });
    this.handingBack.add(work);
  }

  private forget(id: string): void {
    const entry = this.entries.get(id);
    if (entry === undefined) return;
    this.entries.delete(id);
    // Not before: whoever asks for the version until then may have had it made once more.
    closeManifestFile(entry);
    if (entry.presence === "awaited") this.emit("lost", entry);
    this.emit("freed", entry);
  }
}
