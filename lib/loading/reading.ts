import { invalidArgument } from "../errors.js";
import type { FileAccess } from "../native.js";

/** How bytes come from files to a device. */
export interface ReadingOptions {
  /** Reader threads; default: what the machine repays. */
  threads?: number;
  /**
   * "auto" (default): what of a file is in the page cache from there, the rest past it, at the disk's own speed and
   * without filling host memory. "buffered": through the page cache, which then has it for the next load. "direct":
   * everything from the disk.
   */
  io?: FileAccess;
  /**
   * Reads every byte again when it is on the device, from the disk where it can, and compares:
   * ERR_CUDA_IPC_CHECKSUM_MISMATCH. Default false.
   */
  verify?: boolean;
}

const accesses: readonly unknown[] = ["auto", "buffered", "direct"] satisfies FileAccess[];

export function checkReading({ threads, io, verify }: ReadingOptions): void {
  if (threads !== undefined && !(Number.isSafeInteger(threads) && threads >= 1 && threads <= 256)) {
    throw invalidArgument("threads", "an integer from 1 to 256", threads);
  }
  if (io !== undefined && !accesses.includes(io)) {
    throw invalidArgument("io", '"auto", "buffered" or "direct"', io);
  }
  if (verify !== undefined && typeof verify !== "boolean") {
    throw invalidArgument("verify", "true or false", verify);
  }
}
