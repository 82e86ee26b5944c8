// Faults of the host driver for the loaders that this process starts. Its own driver is up, or not asked.
import { afterEach } from "vitest";

/** Slow copies: a load of 2 MiB or more takes many of these, and tells of its progress in between. */
export const slowCopies = "cuMemcpyHtoDAsync:*=slow=60";

export function injectInLoaders(faults: string): void {
  process.env.CUDA_IPC_HOST_FAULTS = faults;
}

afterEach(() => {
  delete process.env.CUDA_IPC_HOST_FAULTS;
});
