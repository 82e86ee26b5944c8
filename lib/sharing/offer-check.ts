import { CudaIpcError } from "../errors.js";
import type { TensorEntry } from "../loading/plan.js";
import { unpackTensors } from "../wire/manifest.js";
import type { RequestMessage } from "../wire/messages.js";
import type { CatalogEntry } from "./catalog.js";
import { manifestDigest } from "./manifest-digest.js";

/**
 * Holds what is offered against what the journal names, as far as that can be done without looking at the memory, and
 * returns the list of tensors. Throws ERR_CUDA_IPC_OFFER_REFUSED.
 */
export function checkOffer(
  { version, slabs }: RequestMessage<"offer">,
  fds: number,
  entry: CatalogEntry | undefined,
): TensorEntry[] {
  if (entry === undefined || entry.presence === "orphaned") {
    throw refused(version, "this owner knows no such version, or none whose memory could be given back");
  }
  const { set, number, sharing } = entry;
  if (version.set !== set || version.number !== number || version.sharing !== sharing) {
    throw refused(version, "its name, number or sharing is another one");
  }
  const known = entry.slabs;
  const same = slabs.every(
    ({ id, device, bytes, handle }, n) =>
      handle === null && id === known[n]?.id && device === known[n].device && bytes === known[n].bytes,
  );
  if (!same || slabs.length !== known.length || fds !== known.length) {
    throw refused(version, "its slabs are not those that were published, in number, id, device or size");
  }
  const tensors = unpackTensors(version.tensors);
  if (manifestDigest(tensors) !== entry.manifest) {
    throw refused(version, "its list of tensors is not the one that was published");
  }
  return tensors as TensorEntry[];
}

export function refused(
  { id, set }: { id: string; set: string },
  why: string,
  cause?: unknown,
): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_OFFER_REFUSED",
    `The memory offered for version ${id} of ${JSON.stringify(set)} was refused: ${why}.`,
    { cause, details: { version: id, set } },
  );
}
