import type { SetStatus, VersionStatus } from "../wire/values.js";
import type { Catalog, CatalogEntry } from "./catalog.js";
import type { Ledger } from "./ledger.js";

/** What an owner tells of its sets to whoever asks. */
export function setStatus(catalog: Catalog, ledger: Ledger): SetStatus[] {
  const sets = new Map<string, SetStatus>();
  for (const entry of catalog.list()) {
    const set = sets.get(entry.set) ?? { name: entry.set, versions: [] };
    set.versions.push(versionStatus(entry, ledger));
    sets.set(entry.set, set);
  }
  return [...sets.values()];
}

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
