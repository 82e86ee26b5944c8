import { setTimeout as pause } from "node:timers/promises";
import { cudaMemGetInfo } from "../../lib/index.js";

/** Device memory in use, by this demo and by whoever else is on the device. */
export async function usedBytes(device = 0): Promise<number> {
  const { freeBytes, totalBytes } = await cudaMemGetInfo({ device });
  return totalBytes - freeBytes;
}

/** What is in use once that is no more than `most`: a driver may give back late what processes had that are gone. */
export async function usedBytesAfter(most: number, look = usedBytes, patienceMs = 5_000): Promise<number> {
  const until = performance.now() + patienceMs;
  for (;;) {
    const used = await look();
    if (used <= most || performance.now() >= until) return used;
    await pause(20);
  }
}

export interface DeviceMemory {
  /** Before anything was loaded; the owner's context is up. */
  beforeBytes: number;
  /** With all workers attached and serving. */
  withWorkersBytes: number;
  /** With the workers gone and the owner closed. */
  afterCloseBytes: number;
}
