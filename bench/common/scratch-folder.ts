import { mkdtempSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { UserError } from "./user-error.js";

/** A new folder for models in the one that --dir names. At once: nothing can end the program before it knows of it. */
export function makeScratchFolder(parent: string = os.tmpdir()): string {
  try {
    return mkdtempSync(path.join(parent, "cuda-ipc-bench-"));
  } catch (error) {
    throw new UserError(
      `Models cannot be written to ${parent}; --dir names another folder: ${(error as Error).message}`,
    );
  }
}
