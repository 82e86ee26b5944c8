import { type InspectOptionsStylized, inspect } from "node:util";
import { checkSignal, invalidArgument } from "../errors.js";
import type { Catalog, CatalogEntry, Presence } from "./catalog.js";
import type { Holder, Ledger, RefCount, VersionState } from "./ledger.js";
import { summary } from "./summary.js";

/** One immutable load of a weight set, as its owner sees it. */
export class Version {
  /** @internal */
  constructor(
    private readonly entry: CatalogEntry,
    private readonly ledger: Ledger,
    private readonly catalog: Catalog,
  ) {}

  /** Random, 32 hex characters. */
  get id(): string {
    return this.entry.id;
  }

  /** The name of the weight set. */
  get set(): string {
    return this.entry.set;
  }

  /** Counts up from 1 within the set. */
  get number(): number {
    return this.entry.number;
  }

  get sharing(): "vmm" | "ipc" {
    return this.entry.sharing;
  }

  get writable(): boolean {
    return this.entry.writable;
  }

  /** The identity of the content: 32 hex characters, computed on the device. */
  get checksum(): string {
    return this.entry.checksum;
  }

  /** Bytes of device memory, in slabs. */
  get bytes(): number {
    return this.entry.bytes;
  }

  get tensors(): number {
    return this.entry.tensorCount;
  }

  /** UUIDs of the devices the version is on. */
  get devices(): string[] {
    return [...new Set(this.entry.slabs.map((slab) => slab.device))];
  }

  /** A path, or "memory". */
  get source(): string {
    return this.entry.source;
  }

  /** When it was published: milliseconds since the epoch. */
  get loadedAt(): number {
    return this.entry.loadedAt;
  }

  /**
   * "present"; "awaited" while the owner is recovering and a worker may give the memory back; "orphaned" when it was
   * shared as `ipc` by an owner that died.
   */
  get presence(): Presence {
    return this.entry.presence;
  }

  get state(): VersionState {
    return this.ledger.version(this.id)?.state ?? "freed";
  }

  /** The number of leases. A lower bound while the owner is recovering: see `refCountExact`. */
  get refCount(): number {
    return this.ledger.refCount(this.id).count;
  }

  get refCountExact(): boolean {
    return this.ledger.refCount(this.id).exact;
  }

  /** Who holds leases, and how many. */
  get holders(): Holder[] {
    return this.ledger.holders(this.id);
  }

  /** A pinned version is kept although it is neither current nor leased. */
  get pinned(): boolean {
    return this.ledger.version(this.id)?.pinned ?? false;
  }

  pin(): void {
    this.catalog.apply(this.ledger.pin(this.id));
  }

  unpin(): void {
    this.catalog.apply(this.ledger.unpin(this.id));
  }

  /**
   * Resolves with the next reference count that satisfies `condition`; at once when the present one does. Rejects with
   * what `condition` throws.
   */
  async waitForRefCount(condition: (count: number) => boolean, signal?: AbortSignal): Promise<number> {
    if (typeof condition !== "function") throw invalidArgument("condition", "a function", condition);
    checkSignal(signal);
    return new Promise((resolve, reject) => {
      const settle = (settled: () => void) => {
        this.catalog.off("count", onCount);
        this.catalog.off("freed", check);
        signal?.removeEventListener("abort", onAbort);
        settled();
      };
      const check = () => {
        const { count } = this.ledger.refCount(this.id) satisfies RefCount;
        // Called amid what the owner does for somebody else, whom it does not concern that it throws.
        try {
          if (condition(count)) settle(() => resolve(count));
        } catch (error) {
          settle(() => reject(error));
        }
      };
      const onCount = ({ version }: { version: string }) => {
        if (version === this.id) check();
      };
      const onAbort = () => settle(() => reject(signal!.reason));
      this.catalog.on("count", onCount);
      this.catalog.on("freed", check);
      signal?.addEventListener("abort", onAbort, { once: true });
      if (signal?.aborted) onAbort();
      else check();
    });
  }

  /** Resolves when the version's memory is gone: its last lease has ended and nobody keeps it any more. */
  whenFreed(): Promise<void> {
    if (this.state === "freed") return Promise.resolve();
    return new Promise((resolve) => {
      const onFreed = (entry: CatalogEntry) => {
        if (entry.id !== this.id) return;
        this.catalog.off("freed", onFreed);
        resolve();
      };
      this.catalog.on("freed", onFreed);
    });
  }

  /** @internal */
  [inspect.custom](depth: number | null, options: InspectOptionsStylized): string {
    const { set, number, id, state, sharing, writable, pinned, tensors, bytes, refCount } = this;
    return summary(
      "Version",
      { set, number, id, state, sharing, writable, pinned, tensors, bytes, refCount },
      depth,
      options,
    );
  }
}
