import type { Access, NativeAddon, NativeFd, NativeMapping, SlabOpening } from "../native.js";
import type { SlabInfo } from "../wire/values.js";
import type { AttachedSlab } from "./attachment.js";

/** What names a slab's memory to this process. */
export interface SlabSource {
  readonly id: string;
  /** The device's UUID. */
  readonly uuid: string;
  readonly bytes: number;
  readonly fd?: NativeFd;
  readonly handle?: Buffer;
}

/** What mapping uses of the addon: another one in a rehearsal. */
export type Mapper = Pick<NativeAddon, "openSlab">;

/** Opens the slab of that index. */
export type OpenSlab = (source: SlabOpening, index: number) => Promise<NativeMapping>;

/** The slabs that an owner has told of, and the descriptors that came with them. */
export function slabSources(slabs: readonly SlabInfo[], fds: readonly NativeFd[]): SlabSource[] {
  let next = 0;
  return slabs.map(({ id, device: uuid, bytes, handle }) =>
    handle === null
      ? { id, uuid, bytes, fd: fds[next++] }
      : { id, uuid, bytes, handle: Buffer.from(handle, "base64") },
  );
}

/**
 * Maps all slabs, or none: what was mapped is unmapped when one fails. Devices are found by their UUIDs. The driver is
 * at work when this returns. Does not take the descriptors over.
 */
export async function mapSlabs(
  slabs: readonly SlabSource[],
  access: Access,
  open: OpenSlab,
): Promise<AttachedSlab[]> {
  const opened = await Promise.allSettled(
    slabs.map(async ({ id, uuid, bytes, fd, handle }, index) => {
      const mapping = await open({ id: Buffer.from(id, "hex"), uuid, bytes, access, fd, handle }, index);
      const { device, devicePointer: pointer } = mapping;
      return { id, device, uuid, bytes, fd, handle, mapping, pointer };
    }),
  );
  const mapped = opened.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  if (mapped.length === slabs.length) return mapped;
  await Promise.allSettled(mapped.map((slab) => slab.mapping.close(null)));
  throw opened.find((result) => result.status === "rejected")!.reason;
}
