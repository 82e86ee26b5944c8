import type { NativeFd } from "../native.js";
import { unpackTensors } from "../wire/manifest.js";
import type { ReplyMessage } from "../wire/messages.js";
import { attachSteps } from "./attach-steps.js";
import { Attachment } from "./attachment.js";
import { checkManifest } from "./manifest.js";
import { locateSlabs, type Mapper, mapSlabs } from "./map-slabs.js";

/** Maps what an owner has granted. Takes the descriptors over; after a failure nothing of it is mapped or open. */
export async function openAttached(
  { lease, version, slabs }: ReplyMessage<"attach">,
  fds: NativeFd[],
  access: "read" | "readwrite",
  onEnd: (lease: string) => Promise<void>,
  mapper: Mapper,
): Promise<Attachment> {
  try {
    const mapping = mapSlabs(await locateSlabs(slabs, fds, mapper), access, mapper);
    mapping.catch(() => {});
    attachSteps.tell?.("mapping");
    // While the driver maps, on a thread of its own, this one looks the manifest over.
    const tensors = await checkOrWait(mapping, () => checkManifest(unpackTensors(version.tensors), slabs));
    attachSteps.tell?.("checked");
    const mapped = await mapping;
    attachSteps.tell?.("mapped");
    const facts = { ...version, checksum: version.checksum ?? "" };
    return new Attachment(lease, facts, mapped, tensors, onEnd);
  } catch (error) {
    for (const fd of fds) fd.close();
    throw error;
  }
}

/** Runs the check; when it fails, lets `work` finish and be undone first. */
async function checkOrWait<T>(
  work: Promise<{ mapping: { close(after: null): Promise<void> } }[]>,
  check: () => T,
) {
  try {
    return check();
  } catch (error) {
    const slabs = await work.catch(() => []);
    await Promise.allSettled(slabs.map(({ mapping }) => mapping.close(null)));
    throw error;
  }
}
