import type { Access, NativeAddon } from "../native.js";
import { closeAll, type Mappable } from "../wire/ahead.js";
import { attachSteps } from "./attach-steps.js";
import { Attachment } from "./attachment.js";
import { type Mapper, mapSlabs, type OpenSlab, slabSources } from "./map-slabs.js";
import { TensorList } from "./tensor-list.js";

/** What an attachment is made of, beside the memory. */
export interface Opening {
  readonly lease: string;
  readonly access: Access;
  onEnd(lease: string): Promise<void>;
}

/** What it uses of the addon: another one in a rehearsal. */
export type AttachedOpener = Mapper & Pick<NativeAddon, "openManifest">;

/**
 * Maps what an owner has granted, or will: the driver is at work when this returns, and the tensors are looked over
 * beside it. Takes the descriptors over; after a failure nothing of it is mapped or open.
 */
export async function openAttached(
  { version, slabs, fds, manifest, grants }: Mappable,
  { lease, access, onEnd }: Opening,
  addon: AttachedOpener,
): Promise<Attachment> {
  try {
    // As a rule it was begun when its frame arrived, and goes on.
    const open: OpenSlab = (source, index) => grants?.open(lease, index, source) ?? addon.openSlab(source);
    const mapping = mapSlabs(slabSources(slabs, fds), access, open).finally(() => grants?.end(lease));
    mapping.catch(() => {});
    attachSteps.tell?.("mapping");
    try {
      const sizes = slabs.map(({ bytes }) => bytes);
      const tensors = new TensorList(addon.openManifest(manifest, sizes));
      manifest.close();
      attachSteps.tell?.("checked");
      const mapped = await mapping;
      attachSteps.tell?.("mapped");
      return new Attachment(lease, { ...version, checksum: version.checksum ?? "" }, mapped, tensors, onEnd);
    } catch (error) {
      // What is being mapped still must be undone before its descriptors are closed.
      const mapped = await mapping.catch(() => []);
      await Promise.allSettled(mapped.map((slab) => slab.mapping.close(null)));
      throw error;
    }
  } catch (error) {
    closeAll({ fds, manifest });
    throw error;
  }
}
