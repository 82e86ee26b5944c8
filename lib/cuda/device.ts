import { CudaIpcError } from "../errors.js";
import { type DeviceFacts, native } from "../native.js";
import { abortable } from "./abortable.js";
import { type CudaOptions, readOptions } from "./check.js";

/** The newest CUDA version that the driver supports, as 1000 * major + 10 * minor. */
export async function cudaDriverGetVersion(): Promise<number> {
  return native.driverVersion();
}

export async function cudaGetDeviceCount(): Promise<number> {
  return (await native.devices()).length;
}

/** What there is to know about a device. `uuid` names it in every process; its ordinal does not. */
export async function cudaGetDeviceProperties(options: CudaOptions = {}): Promise<DeviceFacts> {
  const { device, signal } = readOptions(options);
  const devices = await abortable(signal, () => native.devices());
  const facts = devices[device];
  if (facts === undefined)
    throw new CudaIpcError(
      "ERR_CUDA_IPC_INVALID_DEVICE",
      `There is no device ${device}: this process sees ${devices.length}. CUDA_VISIBLE_DEVICES hides and renumbers devices.`,
    );
  return facts;
}

/** Waits for all work of this process on the device. */
export async function cudaDeviceSynchronize(options: CudaOptions = {}): Promise<void> {
  const { device, signal } = readOptions(options);
  await abortable(signal, () => native.synchronizeDevice(device));
}

/** Free and total memory of the device, counting every process. */
export async function cudaMemGetInfo(
  options: CudaOptions = {},
): Promise<{ freeBytes: number; totalBytes: number }> {
  const { device, signal } = readOptions(options);
  return abortable(signal, () => native.memoryInfo(device));
}
