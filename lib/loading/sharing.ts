import { CudaIpcError, invalidArgument } from "../errors.js";
import type { DeviceFacts, Sharing } from "../native.js";

/** Refuses a sharing that there is not. */
export function checkSharing(asked: Sharing | undefined): void {
  if (asked !== undefined && asked !== "vmm" && asked !== "ipc") {
    throw invalidArgument("sharing", '"vmm" or "ipc"', asked);
  }
}

/**
 * How memory on those devices (ordinals of this process) is shared: as asked, else "vmm" where every one supports it.
 * `known`: all devices of this process. ERR_CUDA_IPC_INVALID_DEVICE, ERR_CUDA_IPC_NO_VMM.
 */
export function chooseSharing(
  known: readonly DeviceFacts[],
  devices: readonly number[],
  asked: Sharing | undefined,
): Sharing {
  checkSharing(asked);
  for (const device of devices) {
    if (known[device] !== undefined) continue;
    throw new CudaIpcError(
      "ERR_CUDA_IPC_INVALID_DEVICE",
      `There is no device ${device}: this process sees ${known.length}. CUDA_VISIBLE_DEVICES says which ones.`,
      { details: { device, devices: known.length } },
    );
  }
  const without = devices.find((device) => !known[device]!.vmm);
  if (asked === "vmm" && without !== undefined) {
    throw new CudaIpcError(
      "ERR_CUDA_IPC_NO_VMM",
      `Device ${without} (${known[without]!.name}) cannot share virtual-memory-management allocations as file descriptors. Use sharing: "ipc".`,
      { details: { device: without } },
    );
  }
  return asked ?? (without === undefined ? "vmm" : "ipc");
}
