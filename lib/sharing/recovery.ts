import { CudaIpcError } from "../errors.js";
import type { OwnedSlab } from "../loading/owned-slab.js";
import type { TensorEntry } from "../loading/plan.js";
import { verifySlabs } from "../loading/verify.js";
import type { NativeFd } from "../native.js";
import type { RequestMessage } from "../wire/messages.js";
import type { CatalogEntry } from "./catalog.js";
import { checkOffer, refused } from "./offer-check.js";
import type { OwnerParts } from "./owner-state.js";
import { pause } from "./patience.js";
import { SerialQueue } from "./serial-queue.js";

/** What says nothing of the memory, only that it could not be looked at now. */
const passing = new Set(
  ["OUT_OF_MEMORY", "HOST_MEMORY", "FD_LIMIT", "LOADER_START", "DEVICE_UNAVAILABLE"].map(
    (name) => `ERR_CUDA_IPC_${name}`,
  ),
);
/** Between attempts to look at memory; workers may let go of what is missing. */
const attemptMs = 500;

/** How long a standby or service manager, whose death nobody proves, is awaited with the memory it keeps. */
const keeperGraceMs = 2000;

export interface RecoveryOptions {
  onRefused(error: CudaIpcError): void;
  /** What is offered cannot be looked at yet; it is tried again. */
  onDelayed(error: CudaIpcError): void;
  /** Ends what is being verified. */
  signal: AbortSignal;
}

/** What came of a recovery. */
export interface Recovered {
  restored: CatalogEntry[];
  lost: CatalogEntry[];
}

export interface OfferOutcome {
  accepted: boolean;
  kept: string[];
  reason: string | null;
}

/**
 * How an owner that took over from a dead one becomes whole. It lasts until every lease of its predecessor has
 * returned or its process is dead, and every offer of memory has been looked at; what is missing then is lost.
 */
export class Recovery {
  /** One at a time: each look at memory takes a process with a CUDA context, for which there may be little room. */
  private readonly looks = new SerialQueue();
  private readonly waiting = new Map<string, { promise: Promise<void>; resolve: () => void }>();
  private readonly restored: CatalogEntry[] = [];
  private readonly lost: CatalogEntry[] = [];
  private started = false;
  private verifying = 0;
  private keepers: NodeJS.Timeout | undefined;
  private finished: ((outcome: Recovered) => void) | undefined;
  private failed!: (reason: unknown) => void;
  readonly done: Promise<Recovered>;

  constructor(
    private readonly parts: OwnerParts,
    private readonly options: RecoveryOptions,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.finished = resolve;
      this.failed = reject;
    });
    this.done.catch(() => {});
    const { catalog } = parts;
    catalog.on("lost", (entry) => this.lost.push(entry));
    catalog.on("freed", ({ id }) => this.settle(id));
    catalog.on("supplied", ({ id }) => this.settle(id));
    catalog.on("recovered", () => this.check());
    const abandon = () => {
      this.failed(options.signal.reason);
      for (const id of [...this.waiting.keys()]) this.settle(id);
    };
    options.signal.addEventListener("abort", abandon, { once: true });
  }

  get active(): boolean {
    return this.finished !== undefined;
  }

  /** From here on it can end. */
  start(): void {
    this.started = true;
    this.keepers = setTimeout(() => {
      this.keepers = undefined;
      this.check();
    }, keeperGraceMs);
    this.keepers.unref();
    this.check();
  }

  /** Versions whose memory has not come back. */
  wanted(): string[] {
    if (!this.active) return [];
    return this.parts.catalog.list().flatMap(({ id, presence }) => (presence === "awaited" ? [id] : []));
  }

  /** Settles when an awaited version is present or gone, or nobody waits for it any more. */
  whenSettled({ id }: CatalogEntry): Promise<void> {
    let waiting = this.waiting.get(id);
    if (waiting === undefined) {
      let resolve!: () => void;
      const promise = new Promise<void>((settle) => {
        resolve = settle;
      });
      waiting = { promise, resolve };
      this.waiting.set(id, waiting);
    }
    return waiting.promise;
  }

  /**
   * A process gives memory back, and takes its leases up again. The leases count whatever becomes of the memory; of
   * several offers of a version, the next is looked at when one has been refused. Owns the descriptors.
   */
  async offer(request: RequestMessage<"offer">, fds: NativeFd[], session: number): Promise<OfferOutcome> {
    // Registered before the leases are: the last of them must not end the recovery under this offer.
    this.verifying++;
    try {
      const entry = this.parts.catalog.get(request.version.id);
      const tensors = checkOffer(request, fds.length, entry);
      const { kept, ...effects } = this.parts.ledger.reclaim(request.leases, session);
      this.parts.catalog.apply(effects);
      const refusal = await this.accept(entry!, tensors, fds);
      return { accepted: refusal === null, kept, reason: refusal };
    } catch (error) {
      this.options.onRefused(error as CudaIpcError);
      throw error;
    } finally {
      for (const fd of fds) fd.close();
      this.verifying--;
      this.check();
    }
  }

  /**
   * Memory that somebody without a lease has kept: whether it was taken. `read` returns the list of tensors, or throws.
   * Owns the descriptors.
   */
  async give(entry: CatalogEntry, read: () => TensorEntry[], fds: NativeFd[]): Promise<boolean> {
    this.verifying++;
    try {
      await this.accept(entry, read(), fds);
    } catch (error) {
      this.options.onRefused(refused(entry, (error as Error).message, error));
    }
    // What was taken is not among them any more.
    const taken = fds.length === 0;
    for (const fd of fds) fd.close();
    this.verifying--;
    this.check();
    return taken;
  }

  /** Why the memory was refused; null when the version is present. Takes the descriptors that it keeps out of `fds`. */
  private async accept(entry: CatalogEntry, tensors: TensorEntry[], fds: NativeFd[]): Promise<string | null> {
    try {
      if (entry.presence === "present") return null;
      await this.looks.run(async () => {
        if (entry.presence === "awaited") await this.take(entry, tensors, fds);
      });
      return null;
    } catch (error) {
      this.options.onRefused(error as CudaIpcError);
      return (error as Error).message;
    }
  }

  private async take(entry: CatalogEntry, tensors: TensorEntry[], fds: NativeFd[]): Promise<void> {
    const slabs = entry.slabs.map(({ id, device, bytes }, n): OwnedSlab => {
      return { id, device, bytes, sharing: "vmm", fd: fds[n]! };
    });
    this.assertAwaited(entry);
    const checksum = await this.verify(entry, slabs, tensors);
    // Whoever may write has perhaps written: the content as published is no longer to be expected.
    if (checksum !== entry.checksum && !entry.writable) {
      throw refused(entry, `its content has the checksum ${checksum}, not ${entry.checksum}`);
    }
    this.assertAwaited(entry);
    fds.length = 0;
    this.restored.push(entry);
    this.parts.catalog.supply(entry.id, { slabs, tensors });
  }

  /** Tries again when the look failed for want of something: healthy memory must not be lost because of that. */
  private async verify(entry: CatalogEntry, slabs: OwnedSlab[], tensors: TensorEntry[]): Promise<string> {
    const { signal } = this.options;
    let deaths = 0;
    for (;;) {
      this.assertAwaited(entry);
      try {
        return await verifySlabs(slabs, tensors, { signal });
      } catch (error) {
        const { code, message } = error as CudaIpcError;
        const died = code === "ERR_CUDA_IPC_LOADER_DIED" && ++deaths < 3;
        if (signal.aborted || !(died || passing.has(code))) throw refused(entry, message, error);
        this.options.onDelayed(error as CudaIpcError);
        await pause(attemptMs, signal);
      }
    }
  }

  private assertAwaited(entry: CatalogEntry): void {
    this.options.signal.throwIfAborted();
    if (this.parts.catalog.get(entry.id) !== entry) throw refused(entry, "it has been freed meanwhile");
  }

  /** Settles when nothing is being looked at any more. */
  idle(): Promise<void> {
    return this.looks.idle();
  }

  private settle(id: string): void {
    this.waiting.get(id)?.resolve();
    this.waiting.delete(id);
  }

  /** To be called when what it waits for may be over. */
  check(): void {
    if (!this.started || !this.active || this.options.signal.aborted) return;
    if (this.parts.ledger.recovering || this.verifying > 0 || this.keptElsewhere()) return;
    this.finish();
  }

  /** Whether somebody without a lease is said to have memory that is missing. */
  private keptElsewhere(): boolean {
    if (this.keepers === undefined) return false;
    return this.wanted().some((id) => (this.parts.ledger.version(id)?.keepers.length ?? 0) > 0);
  }

  private finish(): void {
    const { catalog, ledger } = this.parts;
    const done = this.finished!;
    clearTimeout(this.keepers);
    // What others do because something is lost must find the recovery at its end.
    for (const id of this.wanted()) catalog.apply(ledger.lose(id));
    this.finished = undefined;
    for (const entry of catalog.list().filter(({ presence }) => presence === "orphaned")) {
      catalog.emit("lost", entry);
      if (ledger.refCount(entry.id).count === 0) catalog.apply(ledger.lose(entry.id));
    }
    catalog.apply(ledger.sweep());
    // What the recovery held back is free by the time that it is said to be over.
    void catalog.settled().then(() => done({ restored: this.restored, lost: this.lost }));
  }
}

/** Why nobody new can have `ipc` memory of an owner that died. */
export function ownerDied({ set, number }: CatalogEntry): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_OWNER_DIED",
    `Version ${number} of ${JSON.stringify(set)} was shared as "ipc", and its owner has died: whoever has the memory mapped keeps it, but nobody can open it any more. It can be attached again when the owner has loaded ${JSON.stringify(set)} anew.`,
    { details: { set, number } },
  );
}
