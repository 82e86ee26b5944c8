import { once } from "node:events";
import { promises as fs } from "node:fs";
import { openCheckpoint } from "../formats/safetensors.js";
import type { Owner } from "../sharing/owner.js";
import type { Version } from "../sharing/version.js";

/** What a version was asked to be made of. */
interface Wanted {
  name: string;
  model: string;
  writable: boolean;
}

/**
 * The version that the owner before this one has published, when it is whole again and is what would be loaded now;
 * undefined when there is something to load.
 */
export async function recovered(
  owner: Owner,
  { name, model, writable }: Wanted,
  signal: AbortSignal,
): Promise<Version | undefined> {
  while (owner.recovering && owner.current(name)?.presence === "awaited") {
    await Promise.race(["restored", "lost", "recovered"].map((event) => once(owner, event, { signal })));
  }
  const version = owner.current(name);
  if (version?.presence !== "present" || version.source !== model || version.writable !== writable)
    return undefined;
  return (await lastChange(model)) < version.loadedAt ? version : undefined;
}

/** When the checkpoint was written or put there: milliseconds since the epoch. Never, when it is there no more. */
async function lastChange(model: string): Promise<number> {
  try {
    const { files } = await openCheckpoint(model);
    // A link that leads elsewhere now is newer than what it leads to.
    const facts = await Promise.all(files.flatMap(({ path }) => [fs.stat(path), fs.lstat(path)]));
    return Math.max(...facts.map(({ mtimeMs, ctimeMs }) => Math.max(mtimeMs, ctimeMs)));
  } catch {
    // There is nothing to load in its place.
    return Number.NEGATIVE_INFINITY;
  }
}
