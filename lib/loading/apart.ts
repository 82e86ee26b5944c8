import { CudaIpcError } from "../errors.js";
import type { NativeFd } from "../native.js";
import type { JobMessages, LoaderMessages } from "../wire/loader-messages.js";
import { ContentIdentity } from "./identity.js";
import type { LoadedSlabs, LoaderOptions } from "./loaded.js";
import { closeSlab, type OwnedSlab } from "./owned-slab.js";
import { type LoadPlan, planLoad, totalBytes } from "./plan.js";
import { makePortable, writeToMemory } from "./portable.js";
import { LoaderProcess } from "./process.js";
import { openSource, type WeightsInput } from "./source.js";

/**
 * Loads as "vmm" in a process of its own, which hands the descriptors over and ends: this process neither brings the
 * driver up nor gets a CUDA context. A failure, an abort or the death of either process leaves nothing allocated.
 */
export async function loadApart(
  input: WeightsInput,
  options: Omit<LoaderOptions, "sharing">,
): Promise<LoadedSlabs> {
  const { device, onTensors, signal } = options;
  signal?.throwIfAborted();
  // Before the headers are read: Node and the driver take longer to start than those.
  const loader = new LoaderProcess();
  let memory: NativeFd[] = [];
  try {
    const source = makePortable(await openSource(input, signal));
    const plan = planLoad(source, device);
    // While the process starts.
    onTensors?.(plan.tensors);
    const identity = new ContentIdentity(plan.tensors);
    if (source.memory.length > 0) memory = [await writeToMemory(source.memory, signal)];
    const { slabs, checksums } = await load(loader, source.parts, memory, plan, options);
    try {
      await source.assertUnchanged(signal);
      signal?.throwIfAborted();
    } catch (error) {
      await Promise.all(slabs.map(closeSlab));
      throw error;
    }
    const checksum = identity.of(checksums);
    const { description, contentKey } = source;
    return { sharing: "vmm", slabs, tensors: plan.tensors, checksum, source: description, contentKey };
  } catch (error) {
    await loader.abandon();
    throw error;
  } finally {
    for (const fd of memory) fd.close();
  }
}

async function load(
  loader: LoaderProcess,
  sources: (string | null)[],
  memory: NativeFd[],
  plan: LoadPlan,
  { onProgress, signal, threads, io, verify }: Omit<LoaderOptions, "sharing">,
): Promise<{ slabs: OwnedSlab[]; checksums: Buffer[] }> {
  const total = totalBytes(plan);
  const report =
    onProgress &&
    (({ bytes, rate }: LoaderMessages["progress"]) => onProgress({ bytes, rate, totalBytes: total }));
  const { message, fds } = await loader.run<JobMessages["load"]>(
    { type: "load", sources, slabs: plan.slabs, threads, io, verify },
    memory,
    { onProgress: report, signal },
  );
  if (fds.length !== plan.slabs.length) {
    for (const fd of fds) fd.close();
    throw new CudaIpcError(
      "ERR_CUDA_IPC_PROTOCOL",
      `The loader sent ${fds.length} slabs, but ${plan.slabs.length} were asked for.`,
    );
  }
  return {
    slabs: message.slabs.map(({ id, device, bytes }, index) => ({
      ...{ id, device, bytes, sharing: "vmm" },
      fd: fds[index],
    })),
    checksums: message.slabs.map(({ checksum }) => Buffer.from(checksum, "hex")),
  };
}
