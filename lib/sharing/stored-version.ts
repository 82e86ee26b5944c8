import type { StoredVersion } from "../wire/changes.js";
import type { CatalogEntry, Presence, VersionMemory } from "./catalog.js";

/** What a successor must know of a version. */
export function storedVersion(entry: CatalogEntry): StoredVersion {
  const { id, set, number, sharing, writable, checksum, manifest, tensorCount, source, origin, loadedAt } =
    entry;
  return {
    ...{ id, set, number, sharing, writable, checksum, manifest, source, origin, loadedAt },
    tensors: tensorCount,
    slabs: entry.slabs.map(({ id, device, bytes }) => ({ id, device, bytes })),
  };
}

/** The version as its successor keeps it: with its memory, or as far as it is known without. */
export function restoredEntry(stored: StoredVersion, memory: Presence | VersionMemory): CatalogEntry {
  const { id, set, number, sharing, writable, checksum, manifest, source, origin, loadedAt } = stored;
  const without = { slabs: stored.slabs.map((slab) => ({ ...slab, sharing })), tensors: [] };
  const { slabs, tensors } = typeof memory === "string" ? without : memory;
  return {
    ...{ id, set, number, sharing, writable, checksum, manifest, source, origin, loadedAt, slabs, tensors },
    tensorCount: stored.tensors,
    bytes: slabs.reduce((sum, slab) => sum + slab.bytes, 0),
    presence: typeof memory === "string" ? memory : "present",
  };
}
