import { cudaMemGetInfo } from "../../lib/index.js";

/** Device memory in use, by this demo and by whoever else is on the device. */
export async function usedBytes(device = 0): Promise<number> {
  const { freeBytes, totalBytes } = await cudaMemGetInfo({ device });
  return totalBytes - freeBytes;
}

export interface DeviceMemory {
  /** Before anything was loaded; the owner's context is up. */
  beforeBytes: number;
  /** With all workers attached and serving. */
  withWorkersBytes: number;
  /** With the workers gone and the owner closed. */
  afterCloseBytes: number;
}
