import { CudaIpcError, cudaGetDeviceCount } from "../../lib/index.js";

/**
 * Decides which driver this process and its workers use. The library never falls back by itself; a demo may, as
 * long as it says so.
 */
export async function chooseDriver(asked: string | undefined): Promise<{ name: string; why: string }> {
  const named = asked ?? process.env.CUDA_IPC_DRIVER;
  if (named) {
    process.env.CUDA_IPC_DRIVER = named;
    return { name: named, why: "as asked for" };
  }
  try {
    await cudaGetDeviceCount();
    process.env.CUDA_IPC_DRIVER = "libcuda";
    return { name: "libcuda", why: "a GPU was found" };
  } catch (error) {
    const code = error instanceof CudaIpcError ? error.code : undefined;
    if (code !== "ERR_CUDA_IPC_NO_DRIVER" && code !== "ERR_CUDA_IPC_NO_DEVICE") throw error;
    process.env.CUDA_IPC_DRIVER = "host";
    return { name: "host", why: "no GPU was found" };
  }
}

export function describeDriver(name: string): string {
  return name === "host"
    ? "host: the driver built into cuda-ipc, on host memory. NO GPU IS USED"
    : "libcuda: NVIDIA's driver, on a GPU";
}
