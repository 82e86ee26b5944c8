import type { Access, NativeAddon } from "../native.js";
import { closeAll, type Mappable } from "../wire/ahead.js";
import { attachSteps } from "./attach-steps.js";
import { type AttachedSlab, Attachment } from "./attachment.js";
import { type Mapper, mapSlabs, type OpenSlab, slabSources, unmap } from "./map-slabs.js";
import { TensorList } from "./tensor-list.js";

/** What an attachment is made of, beside the memory. */
export interface Opening {
  readonly lease: string;
  readonly access: Access;
  onEnd(lease: string): Promise<void>;
  /** Told of the attachment while its memory is still being mapped, if it can be: what is made of it can be made ready. */
  onOpening?(attachment: Attachment): void;
}

/** What it uses of the addon: another one in a rehearsal. */
export type AttachedOpener = Mapper & Pick<NativeAddon, "openManifest">;

/**
 * Maps what an owner has granted, or will: the driver is at work when this returns, and all else has been done. Takes
 * the descriptors over; after a failure nothing of it is mapped or open.
 */
export function openAttached(
  { version, slabs, fds, manifest, grants }: Mappable,
  { lease, access, onEnd, onOpening }: Opening,
  addon: AttachedOpener,
): Promise<Attachment> {
  // As a rule it was begun when its frame arrived, and goes on.
  const open: OpenSlab = (source, index) => grants?.open(lease, index, source) ?? addon.openSlab(source);
  const mapped: AttachedSlab[] = [];
  const mapping = mapSlabs(slabSources(slabs, fds), access, open, mapped);
  // As a rule nothing, and then nobody waits for it.
  const left = grants?.end(lease)?.catch(() => {});
  const fail = async (error: unknown) => {
    // What is being mapped still must be undone before its descriptors are closed.
    await mapping.then(unmap, () => {});
    await left;
    closeAll({ fds, manifest });
    throw error;
  };
  attachSteps.tell?.("mapping");
  let attachment: Attachment;
  try {
    const sizes = slabs.map(({ bytes }) => bytes);
    const tensors = new TensorList(addon.openManifest(manifest, sizes));
    manifest.close();
    const facts = { ...version, checksum: version.checksum ?? "" };
    attachment = new Attachment(lease, facts, mapped, tensors, onEnd);
    onOpening?.(attachment);
  } catch (error) {
    return fail(error);
  }
  attachSteps.tell?.("checked");
  return mapping.then(() => {
    attachSteps.tell?.("mapped");
    return left === undefined ? attachment : left.then(() => attachment);
  }, fail);
}
