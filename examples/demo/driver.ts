import { CudaIpcError, cudaGetDeviceCount } from "../../lib/index.js";

/**
 * Decides which driver this process and its workers use. The library never falls back by itself; a demo may, as
 * long as it says so.
 */
export async function chooseDriver(asked: string | undefined): Promise<{ name: string; why: string }> {
  const named = asked ?? process.env.CUDA_IPC_DRIVER;
  if (named) return use(named, "as asked for");
  try {
    await cudaGetDeviceCount();
    return use("libcuda", "a GPU was found");
  } catch (error) {
    const code = error instanceof CudaIpcError ? error.code : undefined;
    if (code !== "ERR_CUDA_IPC_NO_DRIVER" && code !== "ERR_CUDA_IPC_NO_DEVICE") throw error;
    return use("host", "no GPU was found");
  }
}

function use(name: string, why: string): { name: string; why: string } {
  process.env.CUDA_IPC_DRIVER = name;
  // A machine of the demo's own: what other processes of this user hold is not in its figures.
  process.env.CUDA_IPC_HOST_SCOPE = `demo ${process.pid}`;
  return { name, why };
}

export function describeDriver(name: string): string {
  return name === "host"
    ? "host: the driver built into cuda-ipc, on host memory. NO GPU IS USED"
    : "libcuda: NVIDIA's driver, on a GPU";
}
