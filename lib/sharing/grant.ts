import type { NativeFd } from "../native.js";
import { ownerChecks } from "../wire/check.js";
import type { Body, OwnerMessages } from "../wire/messages.js";
import type { SlabInfo, VersionInfo } from "../wire/values.js";
import type { CatalogEntry } from "./catalog.js";
import { manifestFile } from "./manifest-file.js";

type Granted = Omit<Body<OwnerMessages["attached"]>, "re">;

/** What a worker is told: with the descriptors, all that mapping the memory takes. */
export function granted(lease: string, entry: CatalogEntry): Granted {
  return { lease, version: versionInfo(entry), slabs: slabInfos(entry) };
}

/** The same to a worker who has been sent all of it ahead. */
export function grantedAhead(lease: string, entry: CatalogEntry): Granted {
  return { lease, version: versionInfo(entry), slabs: [], ahead: true };
}

/** What can be sent ahead of a grant: a frame, and the descriptors that go with it, which stay the entry's. */
export function aheadOf(entry: CatalogEntry): { frame: Buffer; fds: NativeFd[] } {
  const fds = descriptors(entry);
  const message = { type: "ahead", fds: fds.length, version: versionInfo(entry), slabs: slabInfos(entry) };
  return { frame: ownerChecks.encoded(message).frame, fds };
}

/** Of its `vmm` slabs, in their order, and of the list of its tensors. ERR_CUDA_IPC_FD_LIMIT. */
export function descriptors(entry: CatalogEntry): NativeFd[] {
  return [...entry.slabs.flatMap(({ fd }) => (fd === undefined ? [] : [fd])), manifestFile(entry)];
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
