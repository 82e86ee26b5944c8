import { CudaIpcError } from "../errors.js";

/** How a process ended, or why it could not be started. */
export type Ending =
  | { error: Error }
  | {
      error?: undefined;
      pid: number | undefined;
      code: number | null;
      signal: string | null;
      stderr: string;
    };

/** The error of a job whose process ended before it had answered. */
export function loaderDied(ending: Ending): CudaIpcError {
  if (ending.error !== undefined) {
    const { message, errno, syscall } = ending.error as NodeJS.ErrnoException;
    return new CudaIpcError(
      "ERR_CUDA_IPC_LOADER_START",
      `The process that works on the device could not be started: ${message}. Check the limits on processes (ulimit -u), on open files (ulimit -n) and on memory, and that ${process.execPath} can be run.`,
      { errno: errno === undefined ? undefined : Math.abs(errno), call: syscall, cause: ending.error },
    );
  }
  const { pid, code, signal, stderr } = ending;
  const how = signal === null ? `ended with status ${code}` : `was ended by ${signal}`;
  const hint =
    signal === "SIGKILL" ? " The kernel does that, too, when it is out of host memory: see its log." : "";
  const words = stderr.trim() === "" ? "" : ` It had said: ${stderr.trim()}`;
  return new CudaIpcError(
    "ERR_CUDA_IPC_LOADER_DIED",
    `The process that worked on the device (${pid}) ${how} before it was done. Nothing was published, and its device memory is free again.${hint}${words}`,
    { details: { pid, exitCode: code, signal, stderr } },
  );
}
