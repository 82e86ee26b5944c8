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
 * at work when this returns. Does not take the descriptors over. They come to be in `mapped`, which is whole in the end.
 */
export function mapSlabs(
  slabs: readonly SlabSource[],
  access: Access,
  open: OpenSlab,
  mapped: AttachedSlab[] = [],
): Promise<AttachedSlab[]> {
  // By hand, and not of promises of promises: each turn of one counts behind the driver's own time.
  return new Promise((resolve, reject) => {
    const failures: unknown[] = [];
    let left = slabs.length;
    const settled = () => {
      if (--left > 0) return;
      if (failures.length === 0) resolve(mapped);
      else unmap(mapped).then(() => reject(failures.filter(() => true)[0]));
    };
    slabs.forEach(({ id, uuid, bytes, fd, handle }, index) => {
      const fail = (error: unknown) => {
        failures[index] = error;
        settled();
      };
      const done = (mapping: NativeMapping) => {
        const { device, devicePointer: pointer } = mapping;
        mapped[index] = { id, device, uuid, bytes, fd, handle, mapping, pointer };
        settled();
      };
      try {
        open({ id: Buffer.from(id, "hex"), uuid, bytes, access, fd, handle }, index).then(done, fail);
      } catch (error) {
        fail(error);
      }
    });
    if (slabs.length === 0) resolve(mapped);
  });
}

/** Of slabs that nobody had the pointers of. */
export function unmap(mapped: readonly AttachedSlab[]): Promise<unknown> {
  return Promise.allSettled(mapped.flatMap(({ mapping }) => mapping.close(null)));
}
