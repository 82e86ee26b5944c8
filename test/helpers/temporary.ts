import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll } from "vitest";

/** A folder of the test file's own, removed when the file is done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(process.env.CUDA_IPC_TEST_FOLDER ?? os.tmpdir(), "f-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

let sockets = 0;

/** A socket path that nobody has used yet. */
export function newSocket(folder: string): string {
  return path.join(folder, `s${sockets++}`, "owner.sock");
}
