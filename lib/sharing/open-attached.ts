import type { Access } from "../native.js";
import type { Mappable } from "../wire/ahead.js";
import type { TensorColumns } from "../wire/values.js";
import { attachSteps } from "./attach-steps.js";
import { Attachment } from "./attachment.js";
import { checkManifest } from "./manifest.js";
import { type Mapper, mapSlabs, type OpenSlab, slabSources } from "./map-slabs.js";

/** What an attachment is made of, beside the memory. */
export interface Opening {
  readonly lease: string;
  readonly access: Access;
  /** How long the manifest is waited for. */
  within(manifest: Promise<TensorColumns>): Promise<TensorColumns>;
  onEnd(lease: string): Promise<void>;
}

/**
 * Maps what an owner has granted, or will: the driver is at work when this returns, and the tensors are looked over
 * beside it, when they have come. Takes the descriptors over; after a failure nothing of it is mapped or open.
 */
export async function openAttached(
  { version, slabs, fds, manifest, grants }: Mappable,
  { lease, access, within, onEnd }: Opening,
  mapper: Mapper,
): Promise<Attachment> {
  try {
    // As a rule it was begun when its frame arrived, and goes on.
    const open: OpenSlab = (source, index) => grants?.open(lease, index, source) ?? mapper.openSlab(source);
    const mapping = mapSlabs(slabSources(slabs, fds), access, open).finally(() => grants?.end(lease));
    mapping.catch(() => {});
    attachSteps.tell?.("mapping");
    try {
      const tensors = checkManifest(await within(manifest), slabs);
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
    for (const fd of fds) fd.close();
    throw error;
  }
}
