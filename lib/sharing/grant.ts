import { CudaIpcError } from "../errors.js";
import type { NativeFd } from "../native.js";
import { ownerChecks } from "../wire/check.js";
import type { EncodedMessage } from "../wire/encode.js";
import { maxFrameBytes } from "../wire/limits.js";
import { packTensors } from "../wire/manifest.js";
import type { Body, OwnerMessages } from "../wire/messages.js";
import type { SlabInfo, VersionInfo } from "../wire/values.js";
import type { CatalogEntry } from "./catalog.js";

type Granted = Omit<Body<OwnerMessages["attached"]>, "re">;

/** What a worker is told first: enough to have the memory mapped. */
export function granted(lease: string, entry: CatalogEntry): Granted {
  return { lease, version: versionInfo(entry), slabs: slabInfos(entry) };
}

/** The same to a worker who has been sent all of it ahead. */
export function grantedAhead(lease: string, entry: CatalogEntry): Granted {
  return { lease, version: versionInfo(entry), slabs: [], ahead: true };
}

/** What can be sent ahead of a grant: frames, and the descriptors that go with them, which stay the entry's. */
export function aheadOf(entry: CatalogEntry): { frames: Buffer; fds: NativeFd[] } {
  const fds = descriptors(entry);
  const message = { type: "ahead", fds: fds.length, version: versionInfo(entry), slabs: slabInfos(entry) };
  return { frames: Buffer.concat([ownerChecks.encoded(message).frame, manifestOf(entry).frame]), fds };
}

/** Of its `vmm` slabs, in their order. */
export function descriptors({ slabs }: CatalogEntry): NativeFd[] {
  return slabs.flatMap(({ fd }) => (fd === undefined ? [] : [fd]));
}

function versionInfo({ id, set, number, sharing, writable, checksum }: CatalogEntry): VersionInfo {
  return { id, set, number, sharing, writable, checksum };
}

function slabInfos({ slabs }: CatalogEntry): SlabInfo[] {
  return slabs.map(({ id, device, bytes, sharing, allocation }) => ({
    ...{ id, device, bytes, sharing },
    handle: allocation?.handle?.toString("base64") ?? null,
  }));
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
