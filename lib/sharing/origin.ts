import { constants } from "node:os";
import { crypto } from "../crypto.js";
import { openCheckpoint } from "../formats/safetensors.js";
import type { Placement } from "../loading/plan.js";
import type { WeightsInput } from "../loading/source.js";
import type { StoredVersion } from "../wire/changes.js";
import type { CatalogEntry } from "./catalog.js";
import type { LoadOptions } from "./owner-options.js";

/**
 * What makes a load what it is: its files, unchanged, and the device they go to. Undefined where that cannot be known
 * again: for weights from memory, and for a placement that a function makes.
 */
export function originOf(files: string | null, device: Placement = 0): StoredVersion["origin"] {
  const place = placeOf(device);
  return files === null || place === undefined ? undefined : { files, place };
}

/**
 * Whether a load with these options would make what is there already. Reads headers and no data. Files that are gone
 * cannot make anything else.
 */
export async function isUnchanged(
  entry: CatalogEntry,
  source: WeightsInput,
  { device = 0, sharing = entry.sharing, writable = false }: LoadOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const { origin } = entry;
  if (typeof source !== "string" || origin === undefined || origin.place !== placeOf(device)) return false;
  if (sharing !== entry.sharing || writable !== entry.writable) return false;
  try {
    return (await openCheckpoint(source, { signal })).contentKey === origin.files;
  } catch (error) {
    if ((error as { errno?: number }).errno === constants.errno.ENOENT) return source === entry.source;
    throw error;
  }
}

/** An ordinal means what the environment says. */
function placeOf(device: Placement): string | undefined {
  if (typeof device !== "number") return undefined;
  const { CUDA_VISIBLE_DEVICES: visible = null, CUDA_DEVICE_ORDER: order = null } = process.env;
  return crypto()
    .createHash("sha256")
    .update(JSON.stringify([device, visible, order]))
    .digest("hex");
}
