import { CudaIpcError } from "../errors.js";
import { type Access, type NativeAddon, type NativeFd, native } from "../native.js";
import type { SlabInfo } from "../wire/values.js";
import type { AttachedSlab } from "./attachment.js";

/** What names a slab's memory to this process. */
export interface SlabSource {
  readonly id: string;
  /** Ordinal in this process. */
  readonly device: number;
  /** The device's UUID. */
  readonly uuid: string;
  readonly bytes: number;
  readonly fd?: NativeFd;
  readonly handle?: Buffer;
}

/** What mapping uses of the addon: another one in a rehearsal. */
export type Mapper = Pick<NativeAddon, "findDevice" | "openSlab">;

/** Matches the owner's slabs, by the devices' UUIDs, to what this process sees. The descriptors go with them. */
export async function locateSlabs(
  slabs: readonly SlabInfo[],
  fds: readonly NativeFd[],
  mapper: Mapper = native,
): Promise<SlabSource[]> {
  let next = 0;
  const located: SlabSource[] = [];
  for (const { id, device: uuid, bytes, handle } of slabs) {
    const device = await findDevice(uuid, mapper);
    if (handle === null) located.push({ id, device, uuid, bytes, fd: fds[next++] });
    else located.push({ id, device, uuid, bytes, handle: Buffer.from(handle, "base64") });
  }
  return located;
}

async function findDevice(uuid: string, mapper: Mapper): Promise<number> {
  const device = await mapper.findDevice(uuid);
  if (device === undefined) {
    throw new CudaIpcError(
      "ERR_CUDA_IPC_DEVICE_NOT_VISIBLE",
      `The weights are on device ${uuid}, which this process does not see. Let CUDA_VISIBLE_DEVICES (or the container's device list) include it; MIG instances must be the same one.`,
      { details: { device: uuid } },
    );
  }
  return device;
}

/** Maps all slabs, or none: what was mapped is unmapped when one fails. Does not take the descriptors over. */
export async function mapSlabs(
  slabs: readonly SlabSource[],
  access: Access,
  mapper: Mapper = native,
): Promise<AttachedSlab[]> {
  const opened = await Promise.allSettled(
    slabs.map(async ({ id, device, uuid, bytes, fd, handle }) => {
      const mapping = await mapper.openSlab({
        id: Buffer.from(id, "hex"),
        device,
        bytes,
        access,
        fd,
        handle,
      });
      return { id, device, uuid, bytes, fd, handle, mapping };
    }),
  );
  const mapped = opened.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  if (mapped.length === slabs.length) return mapped;
  await Promise.allSettled(mapped.map((slab) => slab.mapping.close(null)));
  throw opened.find((result) => result.status === "rejected")!.reason;
}
