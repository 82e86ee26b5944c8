/** Where the commands write what they have to say. It may go to a reader that leaves, or to a disk that is full. */
import { CudaIpcError } from "../errors.js";
import { reportFailure } from "./failure.js";

let lost = false;

/** A command goes on without a reader: weights are published, and a check has an exit status, whoever reads of it. */
function onError(error: NodeJS.ErrnoException): void {
  if (lost) return;
  lost = true;
  // A reader that has seen enough, as `head` has.
  if (error.code === "EPIPE") return;
  process.exitCode = reportFailure(
    new CudaIpcError(
      "ERR_CUDA_IPC_SYSTEM",
      `Standard output cannot be written: ${error.message}. Nothing more is written there; make room, or send it elsewhere.`,
      { errno: error.errno, call: error.syscall, cause: error },
    ),
  );
}

/** To be called before anything is said: an error that nobody listens for ends the process. */
export function watchOutput(): void {
  process.stdout.on("error", onError);
  // There is nobody left to be told.
  process.stderr.on("error", () => {});
}

export function say(text: string): void {
  if (!lost) process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
}

export function sayJson(value: unknown): void {
  say(JSON.stringify(value, undefined, 2));
}
