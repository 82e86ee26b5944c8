import { CudaIpcError } from "../errors.js";
import { type NativeCancel, native } from "../native.js";
import { allOf } from "./all-of.js";
import type { SlabPlan } from "./plan.js";

/**
 * Compares what lies on the device with what its sources hold, both read once more: the device's memory by the device,
 * the sources by the processor, and files past the page cache, which may have given the load something else.
 */
export async function compareWithSources(
  parts: (string | Uint8Array)[],
  { device, bytes, runs }: SlabPlan,
  base: bigint,
  options: { threads?: number; cancel: NativeCancel },
): Promise<void> {
  const [found, expected] = await allOf([
    native.checksum(device, base, bytes),
    native.checksumSources({ sources: parts, runs, bytes, io: "direct", ...options }),
  ]);
  if (found!.equals(expected!)) return;
  throw new CudaIpcError(
    "ERR_CUDA_IPC_CHECKSUM_MISMATCH",
    "What is on the device is not what its source holds when it is read again: something wrote to the source, or the " +
      "disk, the host's memory or the device is damaged. Load it again when nothing writes to it; look at the kernel's log.",
    { details: { expected: expected!.toString("hex"), actual: found!.toString("hex") } },
  );
}
