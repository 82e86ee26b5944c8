import { constants } from "node:os";
import { CudaIpcError } from "../../errors.js";
import type { NativeFd } from "../../native.js";
import type { StateChange } from "../../wire/changes.js";
import type { CatalogEntry } from "../catalog.js";
import { canBeGiven } from "../mirror-source.js";
import type { OwnerParts } from "../owner-state.js";
import type { Recovery } from "../recovery.js";
import type { NotifyLine } from "./line.js";
import type { ServiceManager, StoreRoom } from "./service-manager.js";
import { readTensorsFile, writeTensorsFile } from "./tensors-file.js";

/** After which time a removal is tried again that the manager could not be told of. */
const retryMs = 5000;

export interface StoredMemoryOptions {
  onError(error: CudaIpcError): void;
  /** Something came back from the store that is no memory of this owner's. */
  onRefused(error: CudaIpcError): void;
}

/**
 * The owner's memory in the service manager's store: a keeper of every version that it was sent, until it has removed
 * it. What comes back from there is treated as an offer: the journal must name it, and its content is looked at.
 */
export class StoredMemory {
  /** The names that each version has in the store. */
  private readonly kept = new Map<string, string[]>();
  /** Versions for which there was no room. */
  private readonly left = new Set<string>();
  /** Versions that could not be sent: they are tried again when there is something else to store. */
  private readonly unsent = new Set<string>();
  private readonly removals = new Set<Promise<void>>();
  private readonly stopListening: () => void;
  private recovery: Recovery | undefined;
  private open = true;
  /** Whether the ledger is another process's by now. */
  private silent = false;

  constructor(
    private readonly manager: ServiceManager,
    private readonly line: NotifyLine,
    private readonly parts: OwnerParts,
    private readonly options: StoredMemoryOptions,
  ) {
    this.stopListening = parts.log.subscribe((changes) => changes.forEach(this.hear));
    parts.catalog.on("supplied", this.store);
  }

  /** How many versions the manager has. */
  get size(): number {
    return this.kept.size;
  }

  /** Takes up what came back from the store, and stores what is not in it. To be called before a recovery can end. */
  begin(recovery: Recovery | undefined): void {
    this.recovery = recovery;
    const { names, room, keeper } = this.manager;
    const found = this.manager.takeStored();
    for (const entry of this.parts.catalog.list()) {
      const own = names.of(entry);
      const whole = own.every((name) => found.get(name)?.length === 1);
      if (entry.presence === "awaited" && whole && recovery !== undefined) {
        const fds = own.map((name) => found.get(name)![0]!);
        for (const name of own) found.delete(name);
        this.claim(entry, own);
        void this.giveBack(recovery, entry, fds);
      } else if (this.parts.ledger.version(entry.id)?.keepers.includes(keeper)) {
        // A version that is free, or half of one; or the store was emptied while the owner was away.
        this.kept.set(entry.id, own);
        room.used += own.length - discard(found, own);
        void this.remove(entry.id);
      }
    }
    for (const name of [...found.keys()]) {
      room.used -= discard(found, [name]);
      this.line.remove(name).catch(this.failed);
      this.options.onRefused(stale(name));
    }
    this.storeAll();
  }

  /** Removes everything: nobody is to find it. `silently`: the ledger is another process's by now. */
  async letGo({ silently = false } = {}): Promise<void> {
    this.stop();
    this.silent = silently;
    for (const version of [...this.kept.keys()]) this.remove(version);
    await Promise.all(this.removals);
  }

  /** Leaves it there for the owner after this one. Resolves when all that was sent has been acted on. */
  async leave(): Promise<void> {
    this.stop();
    this.silent = true;
    await new Promise<void>((resolve) => this.sync(resolve));
  }

  private stop(): void {
    this.open = false;
    this.stopListening();
    this.parts.catalog.off("supplied", this.store);
  }

  private readonly hear = (change: StateChange): void => {
    if (change.op === "versionAdded") {
      this.unsent.clear();
      this.storeAll();
    } else if (change.op === "versionGone" || (change.op === "versionState" && change.state === "released")) {
      this.remove(change.id);
    }
  };

  private readonly failed = (error: unknown): void => this.options.onError(error as CudaIpcError);

  private async giveBack(recovery: Recovery, entry: CatalogEntry, fds: NativeFd[]): Promise<void> {
    const [list, ...slabs] = fds as [NativeFd, ...NativeFd[]];
    const taken = await recovery.give(entry, () => readTensorsFile(list, entry), slabs);
    list.close();
    if (taken || !this.open) return;
    // What was refused must not come back; where somebody else had the memory meanwhile, it is that which is stored.
    this.remove(entry.id);
    this.store(this.parts.catalog.get(entry.id));
  }

  /** Stores what is not in store, as far as there is room. */
  storeAll(): void {
    // What new workers will ask for comes first.
    const current = ({ id }: CatalogEntry) => Number(this.parts.ledger.version(id)?.state === "current");
    this.parts.catalog
      .list()
      .sort((a, b) => current(b) - current(a))
      .forEach(this.store);
  }

  private readonly store = (entry: CatalogEntry | undefined): void => {
    if (!this.open || entry === undefined || !canBeGiven(entry) || this.kept.has(entry.id)) return;
    if (this.unsent.has(entry.id)) return;
    if (this.parts.ledger.version(entry.id)?.state === "released") return;
    const names = this.manager.names.of(entry);
    const { room } = this.manager;
    if (room.used + names.length > room.capacity) {
      if (!this.left.has(entry.id)) this.options.onError(noRoom(entry, names.length, room));
      this.left.add(entry.id);
      return;
    }
    room.used += names.length;
    this.left.delete(entry.id);
    this.claim(entry, names);
    this.send(entry, names).catch((error) => {
      this.failed(error);
      this.unsent.add(entry.id);
      // Whatever of it may have arrived.
      this.remove(entry.id);
    });
  };

  private async send(entry: CatalogEntry, names: string[]): Promise<void> {
    const fds = [writeTensorsFile(entry)];
    try {
      for (const { fd } of entry.slabs) fds.push(fd!.duplicate());
    } catch (error) {
      for (const fd of fds) fd.close();
      throw error;
    }
    await Promise.all(names.map((name, n) => this.line.store(name, fds[n]!)));
  }

  private claim({ id }: CatalogEntry, names: string[]): void {
    this.kept.set(id, names);
    this.parts.ledger.addKeeper(id, this.manager.keeper, Date.now());
    // Not at once: this may run while a change is being told.
    queueMicrotask(() => this.parts.log.commit());
  }

  private remove(version: string): void {
    const names = this.kept.get(version);
    if (names === undefined) return;
    this.kept.delete(version);
    this.left.delete(version);
    this.manager.room.used -= names.length;
    const sent = Promise.all(names.map((name) => this.line.remove(name)));
    const removal = new Promise<void>((resolve) =>
      this.sync(resolve, sent, {
        done: () => this.removed(version),
        failed: () => this.removeLater(version, names),
      }),
    );
    this.removals.add(removal);
    void removal.then(() => this.removals.delete(removal));
  }

  /** The manager was not told, or has not said that it has acted: it has the memory still, for all that is known. */
  private removeLater(version: string, names: string[]): void {
    if (!this.open || this.kept.has(version)) return;
    this.kept.set(version, names);
    this.manager.room.used += names.length;
    setTimeout(() => this.remove(version), retryMs).unref();
  }

  private removed(version: string): void {
    if (this.silent) return;
    const { catalog, ledger } = this.parts;
    if (!this.kept.has(version)) catalog.apply(ledger.keeperGone(this.manager.keeper, version));
    this.recovery?.check();
    this.storeAll();
  }

  /** `done`, when the manager has acted on all that was sent, however late; `settle` after a bounded time. */
  private sync(
    settle: () => void,
    sent: Promise<unknown> = Promise.resolve(),
    { done = () => {}, failed = () => {} } = {},
  ): void {
    const late = (error: unknown) => {
      this.failed(error);
      settle();
    };
    Promise.all([sent, this.line.barrier(late)])
      .catch((error) => {
        // A manager that is gone has nothing in store.
        if (!isGone(error)) throw error;
      })
      .then(
        () => {
          done();
          settle();
        },
        (error) => {
          failed();
          late(error);
        },
      )
      .catch(late);
  }
}

function isGone({ errno }: CudaIpcError): boolean {
  return errno === constants.errno.ECONNREFUSED || errno === constants.errno.ENOENT;
}

/** Closes what came back under these names; how many there were. */
function discard(found: Map<string, NativeFd[]>, names: readonly string[]): number {
  const fds = names.flatMap((name) => found.get(name) ?? []);
  for (const name of names) found.delete(name);
  for (const fd of fds) void fd.dispose();
  return fds.length;
}

function stale(name: string): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_OFFER_REFUSED",
    `What the service manager had in store as ${name} was refused and removed: the recovery journal names no such memory, or only a part of it was there.`,
    { details: { name } },
  );
}

function noRoom(
  { id, set, number }: CatalogEntry,
  needed: number,
  { capacity, used }: StoreRoom,
): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_STORE_FULL",
    `Version ${number} of ${JSON.stringify(set)} is not stored with the service manager: it takes ${needed} descriptors, and ${used} of ${capacity} are in use. Raise FileDescriptorStoreMax= to hold all versions that live at a time.`,
    { details: { set, version: id, needed, used, capacity } },
  );
}
