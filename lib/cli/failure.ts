import { CudaIpcError } from "../errors.js";
import { plain } from "./text.js";

/** Says on one line what went wrong, and gives the exit status. What has no code is a bug, and shows its stack. */
export function reportFailure(error: unknown): number {
  const text =
    error instanceof CudaIpcError
      ? `${plain(error.message.replace(/\s*\n\s*/g, " "))} [${error.code}]`
      : String((error as Error)?.stack ?? error);
  process.stderr.write(`cuda-ipc: ${text}\n`);
  return 1;
}
