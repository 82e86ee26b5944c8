import type { VersionStatus } from "../wire/values.js";
import type { CatalogEntry } from "./catalog.js";
import type { Ledger } from "./ledger.js";

/** What an owner tells of a version to whoever asks. */
export function versionStatus(entry: CatalogEntry, ledger: Ledger): VersionStatus {
  const view = ledger.version(entry.id);
  const { count, exact } = ledger.refCount(entry.id);
  const { id, number, sharing, writable, checksum, bytes, source, loadedAt } = entry;
  return {
    ...{ id, number, sharing, writable, checksum, bytes, source, loadedAt, exact },
    state: view?.state ?? "freed",
    pinned: view?.pinned ?? false,
    tensors: entry.tensorCount,
    devices: [...new Set(entry.slabs.map((slab) => slab.device))],
    refCount: count,
    holders: ledger.holders(entry.id),
  };
}
