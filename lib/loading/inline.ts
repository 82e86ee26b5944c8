import type { Sharing } from "../native.js";
import { fillSlabs } from "./fill.js";
import { contentChecksum } from "./identity.js";
import type { LoadedSlabs, LoaderOptions } from "./loaded.js";
import { closeSlab } from "./owned-slab.js";
import { planLoad, totalBytes } from "./plan.js";
import { chooseSharing } from "./sharing.js";
import { openSource, type WeightsInput } from "./source.js";

/** Loads in this process, which gets a CUDA context for it. A failure or an abort leaves nothing allocated. */
export async function loadInline(
  input: WeightsInput,
  { device, sharing: asked, onProgress, signal, threads, io, verify }: LoaderOptions,
): Promise<LoadedSlabs> {
  const source = await openSource(input, signal);
  const plan = planLoad(source, device);
  const sharing: Sharing = await chooseSharing(
    plan.slabs.map((slab) => slab.device),
    asked,
  );
  const total = totalBytes(plan);
  const filled = await fillSlabs(source.parts, plan.slabs, {
    sharing,
    threads,
    io,
    verify,
    signal,
    onProgress: onProgress && ((progress) => onProgress({ ...progress, totalBytes: total })),
  });
  const slabs = filled.map(({ slab }) => slab);
  try {
    await source.assertUnchanged(signal);
    signal?.throwIfAborted();
  } catch (error) {
    await Promise.all(slabs.map(closeSlab));
    throw error;
  }
  const checksum = contentChecksum(
    plan.tensors,
    filled.map((each) => each.checksum),
  );
  const { description, contentKey } = source;
  return { sharing, slabs, tensors: plan.tensors, checksum, source: description, contentKey };
}
