/** Looks at the device's memory from a process that has nothing to do with the run. */
import { cudaMemGetInfo } from "../../../lib/index.js";
import { serve } from "./serve.js";

const commands = {
  /** Bytes in use on the device, by anybody. */
  async usedBytes(): Promise<number> {
    const { freeBytes, totalBytes } = await cudaMemGetInfo();
    return totalBytes - freeBytes;
  },
};
export type ObserverCommands = typeof commands;

serve(commands);
