import { constants, existsSync } from "node:fs";
import { access, mkdir } from "node:fs/promises";
import path from "node:path";
import { UserError } from "../common/user-error.js";

/**
 * Makes the folder of the results, before anything is measured. One step at a time: Node's `recursive` tries for ever
 * where a folder is there but can have none in it, such as in /proc.
 */
export async function makeOutFolder(folder: string): Promise<void> {
  const missing: string[] = [];
  let existing = path.resolve(folder);
  while (!existsSync(existing)) {
    missing.unshift(existing);
    existing = path.dirname(existing);
  }
  try {
    for (const one of missing) await mkdir(one);
    // The slash: what is no folder is refused, too.
    await access(`${path.resolve(folder)}/`, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new UserError(
      `The results cannot go to ${folder}; --out names another folder: ${(error as Error).message}`,
    );
  }
}
