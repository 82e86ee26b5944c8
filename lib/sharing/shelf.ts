import { type NativeShelf, native } from "../native.js";
import type { Catalog, CatalogEntry } from "./catalog.js";
import { aheadOf } from "./grant.js";

/**
 * The current versions, ready to be sent ahead to whoever attaches: the epoll thread does so before this thread has
 * looked at the request, and the worker has the memory mapped meanwhile. Nothing is counted by that: whether there is a
 * lease, and on what, the ledger decides. What lies here keeps its memory, so it is taken off before that is handed back.
 */
export class Shelf {
  /** For whatever connections are accepted with. */
  readonly native: NativeShelf;
  private closed = false;

  /** `uids`: users whose processes are served. */
  constructor(
    private readonly catalog: Catalog,
    uids: readonly number[],
  ) {
    this.native = native.createShelf(uids);
    catalog.on("supplied", (entry) => this.show(entry));
    // Before anybody else lets go: who closes the last descriptor of memory waits until the driver has freed it.
    catalog.on("leaving", (entry) => this.remove(entry));
  }

  /** Shows what there is: when the owner serves. Whoever fails to become one must not be left with any memory. */
  fill(): void {
    for (const entry of this.catalog.list()) this.show(entry);
  }

  /** Puts the version there, in place of any other, if it is the one that its set's name stands for. */
  show(entry: CatalogEntry): void {
    const { set, id, checksum } = entry;
    if (this.closed) return;
    if (entry.presence !== "present" || this.catalog.current(set) !== entry) return;
    this.withdraw(set);
    try {
      const { frames, fds } = aheadOf(entry);
      this.native.put(set, id, checksum, frames, fds);
    } catch {
      // Its list of tensors is too long for a frame: whoever attaches is told that.
    }
  }

  /** Whatever lies there for the set. */
  withdraw(set: string): void {
    for (const entry of this.catalog.list()) if (entry.set === set) this.remove(entry);
  }

  private remove({ set, id }: CatalogEntry): void {
    this.native.remove(set, id);
  }

  /** Nothing is sent ahead any more, and no memory kept. */
  close(): void {
    this.closed = true;
    this.native.clear();
  }
}
