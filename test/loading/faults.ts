// Faults of the host driver for the loaders that this process starts. Its own driver is up, or not asked.
import { afterEach } from "vitest";

// For loads of 40 MiB by one thread, in ten copies or more.
/** Takes two seconds, and tells of its progress. */
export const slowCopies = "cuMemcpyHtoDAsync:*=slow=200";
/** Tells of its progress, and never ends. */
export const stuckCopies = "cuMemcpyHtoDAsync:6-=hang";

export function injectInLoaders(faults: string): void {
  process.env.CUDA_IPC_HOST_FAULTS = faults;
}

afterEach(() => {
  delete process.env.CUDA_IPC_HOST_FAULTS;
});
