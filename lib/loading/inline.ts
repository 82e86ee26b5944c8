import { native } from "../native.js";
import { fillSlabs } from "./fill.js";
import { ContentIdentity } from "./identity.js";
import type { LoadedSlabs, LoaderOptions } from "./loaded.js";
import { planLoad, totalBytes } from "./plan.js";
import { chooseSharing } from "./sharing.js";
import { openSource, type WeightsInput } from "./source.js";

/** Loads in this process, which gets a CUDA context for it. A failure or an abort leaves nothing allocated. */
export async function loadInline(
  input: WeightsInput,
  { device, sharing: asked, onProgress, onTensors, signal, threads, io, verify }: LoaderOptions,
): Promise<LoadedSlabs> {
  // Beside the reading of the headers. Of bad input is told first.
  const asking = native.devices();
  asking.catch(() => {});
  const source = await openSource(input, signal);
  const plan = planLoad(source, device);
  const devices = await asking;
  const sharing = chooseSharing(
    devices,
    plan.slabs.map((slab) => slab.device),
    asked,
  );
  const total = totalBytes(plan);
  let identity: ContentIdentity | undefined;
  const filled = await fillSlabs(source.parts, plan.slabs, {
    sharing,
    devices,
    threads,
    io,
    verify,
    signal,
    onProgress: onProgress && ((progress) => onProgress({ ...progress, totalBytes: total })),
    meanwhile: () => {
      onTensors?.(plan.tensors);
      identity = new ContentIdentity(plan.tensors);
    },
    whenRead: () => source.assertUnchanged(signal),
  });
  const checksum = identity!.of(filled.map((each) => each.checksum));
  const slabs = filled.map(({ slab }) => slab);
  const { description, contentKey } = source;
  return { sharing, slabs, tensors: plan.tensors, checksum, source: description, contentKey };
}
