import type { NativeFd } from "../native.js";
import type { JobMessages } from "../wire/loader-messages.js";
import { contentBytes, contentChecksum } from "./identity.js";
import type { OwnedSlab } from "./owned-slab.js";
import type { TensorEntry } from "./plan.js";
import { LoaderProcess } from "./process.js";

/**
 * The identity of what is in the memory behind descriptors, computed on its devices by a process of its own, because
 * they may come from anybody: this process never maps them. They stay the caller's.
 */
export async function verifySlabs(
  slabs: readonly Pick<OwnedSlab, "id" | "device" | "bytes" | "fd">[],
  tensors: readonly TensorEntry[],
  { signal }: { signal?: AbortSignal } = {},
): Promise<string> {
  signal?.throwIfAborted();
  const loader = new LoaderProcess();
  const fds: NativeFd[] = slabs.map(({ fd }) => fd!);
  const described = slabs.map(({ id, device, bytes }, index) => ({
    ...{ id, device, bytes },
    contentBytes: contentBytes(tensors, index),
  }));
  const { message } = await loader.run<JobMessages["verify"]>({ type: "verify", slabs: described }, fds, {
    signal,
  });
  return contentChecksum(
    tensors,
    message.checksums.map((checksum) => Buffer.from(checksum, "hex")),
  );
}
