// One folder for all files of a run: a file whose every test is skipped runs no hook that would remove its own.
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

export default function setup(): () => void {
  const folder = mkdtempSync(path.join(os.tmpdir(), "cit-"));
  // Other users pass through, as through the temporary folder itself.
  chmodSync(folder, 0o755);
  process.env.CUDA_IPC_TEST_FOLDER = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}
