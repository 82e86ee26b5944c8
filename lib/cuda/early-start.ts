import { existsSync } from "node:fs";
import path from "node:path";
import { checkOptions, optionNames } from "../errors.js";
import { checkDevice } from "./check.js";

export interface EarlyStartOptions {
  /** The device's ordinal in the child, as CUDA_VISIBLE_DEVICES numbers it there; default 0. */
  device?: number;
}

const earlyStartOptions = optionNames<EarlyStartOptions>({ device: true });

/**
 * Environment variables for a process that is going to run this same Node and attach on that device: with them CUDA
 * comes up there while Node is still starting. `cluster.fork(earlyStart())`, or among others in the `env` of
 * `child_process`. The process takes them out of its environment, so that its own children do not do the same; any
 * other program in between, shells and npm among them, hands them on. LD_PRELOAD has whatever this process's has, too.
 *
 * Gives no variables, and a warning (CUDA_IPC_NO_EARLY_START), where the library to be preloaded cannot be: such a child starts as
 * without them. ERR_CUDA_IPC_INVALID_ARGUMENT.
 */
export function earlyStart(options: EarlyStartOptions = {}): Record<string, string> {
  checkOptions(options, earlyStartOptions);
  const { device = 0 } = options;
  checkDevice(device);
  const library = path.join(__dirname, "../../../build/Release/cuda_ipc_early.so");
  const reason = whyNot(library);
  if (reason !== undefined) {
    process.emitWarning(`CUDA is not begun early: ${reason}.`, {
      type: "CudaIpcWarning",
      code: "CUDA_IPC_NO_EARLY_START",
    });
    return {};
  }
  return {
    CUDA_IPC_EARLY_START: String(device),
    CUDA_IPC_EARLY_START_FOR: process.execPath,
    LD_PRELOAD: preloading(library, process.env.LD_PRELOAD),
  };
}

function whyNot(library: string): string | undefined {
  if (/[\s:]/.test(library))
    return `LD_PRELOAD cannot name ${library}, for it is split at colons and white space. Install the package in another folder`;
  if (!existsSync(library)) return `there is no ${library}. It is built by \`npm rebuild cuda-ipc\``;
  return undefined;
}

/** Behind the others: a sanitizer's runtime ends every process in whose list it is not the first. */
function preloading(library: string, others = ""): string {
  const rest = others.split(/[\s:]+/).filter((file) => file !== "" && file !== library);
  return [...rest, library].join(":");
}
