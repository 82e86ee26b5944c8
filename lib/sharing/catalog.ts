import { EventEmitter } from "node:events";
import type { CudaIpcError } from "../errors.js";
import type { LoadedSlabs } from "../loading/loaded.js";
import { closeSlab, type OwnedSlab } from "../loading/owned-slab.js";
import type { TensorEntry } from "../loading/plan.js";
import type { VersionFacts } from "./attachment.js";
import type { Effects, Ledger } from "./ledger.js";

/** A version as its owner keeps it: the memory, and what a worker is told about it. */
export interface CatalogEntry extends VersionFacts {
  readonly slabs: readonly OwnedSlab[];
  readonly tensors: readonly TensorEntry[];
  /** Bytes of device memory, in slabs. */
  readonly bytes: number;
  /** Where it came from, for people. */
  readonly source: string;
  /** Milliseconds since the epoch. */
  readonly loadedAt: number;
}

interface CatalogEvents {
  /** The count of leases on a version is another one now. */
  count: [{ version: string; count: number; exact: boolean }];
  /** A lease ended, and why. */
  ended: [{ lease: string; version: string; process: string; reason: string }];
  /** A version's memory is gone. */
  freed: [CatalogEntry];
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

  constructor(private readonly ledger: Ledger) {
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

  /** Takes over the memory of a load and makes it the set's current version, in one step. */
  publish(
    facts: { id: string; set: string; writable: boolean; source: string; pinned: boolean },
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
      bytes: loaded.slabs.reduce((sum, slab) => sum + slab.bytes, 0),
      source: facts.source,
      loadedAt: Date.now(),
    };
    this.ledger.addVersion({ id: entry.id, set: entry.set, sharing });
    this.entries.set(entry.id, entry);
    if (facts.pinned) this.apply(this.ledger.pin(entry.id));
    const { superseded, ...effects } = this.ledger.publish(entry.id);
    this.apply(effects);
    return { entry, superseded };
  }

  /** Acts on what the ledger decided. */
  apply(effects: Effects): void {
    for (const end of effects.ended) this.emit("ended", end);
    for (const { version, count, exact } of effects.counts) this.emit("count", { version, count, exact });
    for (const id of effects.freeable) this.handBack(id);
    for (const id of effects.freed) this.forget(id);
  }

  /** Settles when no memory is on its way back any more. */
  async settled(): Promise<void> {
    while (this.handingBack.size > 0) await Promise.all(this.handingBack);
  }

  private handBack(id: string): void {
    const entry = this.entries.get(id)!;
    const work = Promise.allSettled(entry.slabs.map(closeSlab)).then((results) => {
      this.handingBack.delete(work);
      for (const result of results) if (result.status === "rejected") this.emit("error", result.reason);
      this.apply(this.ledger.handedBack(id));
    });
    this.handingBack.add(work);
  }

  private forget(id: string): void {
    const entry = this.entries.get(id);
    if (entry === undefined) return;
    this.entries.delete(id);
    this.emit("freed", entry);
  }
}
