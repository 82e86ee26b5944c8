import { type NativeShelf, native } from "../native.js";
import type { Catalog, CatalogEntry } from "./catalog.js";
import { aheadOf } from "./grant.js";

/**
 * The current versions, ready to be sent ahead to whoever attaches: the epoll thread does so before this thread has
 * looked at the request, and the worker has the memory mapped meanwhile. Nothing is counted by that: whether there is a
 * lease, and on what, the ledger decides. What lies here keeps its memory, so it is taken off before that is handed back.
 * `ipc` memory goes on loan: it is not freed before that is returned.
 */
export class Shelf {
  /** For whatever connections are accepted with. */
  readonly native: NativeShelf;
  private closed = false;
  /** What could not be put there. */
  private readonly missing = new Set<CatalogEntry>();

  /** `uids`: users whose processes are served. */
  constructor(
    private readonly catalog: Catalog,
    uids: readonly number[],
  ) {
    this.native = native.createShelf(uids);
    catalog.on("supplied", (entry) => this.show(entry));
    // Before anybody else lets go: who closes the last descriptor of memory waits until the driver has freed it.
    catalog.on("leaving", (entry, until) => {
      this.remove(entry);
      const returned = this.whenReturned(entry);
      if (returned !== undefined) until(returned);
    });
  }

  /** Shows what there is: when the owner serves. Whoever fails to become one must not be left with any memory. */
  fill(): void {
    for (const entry of this.catalog.list()) this.show(entry);
  }

  /** Puts the version there, in place of any other, if it is the one that its set's name stands for. */
  show(entry: CatalogEntry): void {
    const { set, id, checksum } = entry;
    this.missing.delete(entry);
    if (this.closed) return;
    if (entry.presence !== "present" || this.catalog.current(set) !== entry) return;
    this.withdraw(set);
    try {
      const { frame, fds } = aheadOf(entry);
      // Nothing else keeps `ipc` memory while a worker that has not been granted anything has it open.
      const provider = entry.sharing === "ipc" ? native.chosenProvider() : undefined;
      this.native.put(set, id, checksum, frame, fds, provider);
    } catch {
      // No descriptor is left for the list of its tensors: whoever attaches is told that, if it is so still.
      this.missing.add(entry);
    }
  }

  /** Shows what could not be, when descriptors were short: there may be some now. */
  complete(): void {
    for (const entry of [...this.missing]) this.show(entry);
  }

  /** Whatever lies there for the set. */
  withdraw(set: string): void {
    for (const entry of this.catalog.list()) if (entry.set === set) this.remove(entry);
  }

  /** Settles when nobody has the version on loan; undefined where nobody has. Of one that does not lie here any more. */
  whenReturned({ id }: CatalogEntry): Promise<void> | undefined {
    let returned!: () => void;
    const promise = new Promise<void>((resolve) => {
      returned = resolve;
    });
    return this.native.whenReturned(id, returned) ? promise : undefined;
  }

  /** `ipc` versions that are on loan. */
  lent(): CatalogEntry[] {
    return this.catalog.list().filter((entry) => this.whenReturned(entry) !== undefined);
  }

  /** Settles when nothing is on loan any more: of a shelf that was closed. */
  async allReturned(): Promise<void> {
    await Promise.all(this.catalog.list().map((entry) => this.whenReturned(entry)));
  }

  private remove(entry: CatalogEntry): void {
    this.missing.delete(entry);
    this.native.remove(entry.set, entry.id);
  }

  /** Nothing is sent ahead any more, and no memory kept. */
  close(): void {
    this.closed = true;
    this.native.clear();
  }
}
