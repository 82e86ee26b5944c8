import { CudaIpcError } from "../errors.js";
import { ownerChecks } from "../wire/check.js";
import type { EncodedMessage } from "../wire/encode.js";
import { maxFrameBytes } from "../wire/limits.js";
import { packTensors } from "../wire/manifest.js";
import type { Body, OwnerMessages } from "../wire/messages.js";
import type { CatalogEntry } from "./catalog.js";

/** What a worker is told first: enough to have the memory mapped. */
export function granted(lease: string, entry: CatalogEntry): Omit<Body<OwnerMessages["attached"]>, "re"> {
  const { id, set, number, sharing, writable, checksum } = entry;
  return {
    lease,
    version: { id, set, number, sharing, writable, checksum },
    slabs: entry.slabs.map((slab) => ({
      id: slab.id,
      device: slab.device,
      bytes: slab.bytes,
      sharing: slab.sharing,
      handle: slab.allocation?.handle?.toString("base64") ?? null,
    })),
  };
}

// Every version has a list of its own.
const manifests = new WeakMap<CatalogEntry["tensors"], EncodedMessage>();

/**
 * What it is told then: the tensors. The same for every worker, and the longest part: checked and encoded once.
 * ERR_CUDA_IPC_FRAME_LIMIT when they are too many.
 */
export function manifestOf({
  id,
  set,
  tensors,
}: Pick<CatalogEntry, "id" | "set" | "tensors">): EncodedMessage {
  let manifest = manifests.get(tensors);
  if (manifest === undefined) {
    const message = { type: "manifest", version: id, tensors: packTensors(tensors) };
    manifest = ownerChecks.encoded(message);
    const bytes = manifest.frame.length;
    if (bytes > maxFrameBytes) throw tooLong(set, tensors.length, bytes);
    manifests.set(tensors, manifest);
  }
  return manifest;
}

function tooLong(set: string, tensors: number, bytes: number): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_FRAME_LIMIT",
    `The list of the ${tensors} tensors of ${JSON.stringify(set)} takes ${bytes} bytes, and ${maxFrameBytes} is the protocol's limit. Publish them as several sets.`,
    { details: { tensors, bytes, limit: maxFrameBytes } },
  );
}
