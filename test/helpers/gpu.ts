// Tests that need a real GPU are skipped where there is none, and say why.
import { spawnSync } from "node:child_process";
import path from "node:path";
import { describe } from "vitest";

const probe = `require(${JSON.stringify(path.join(__dirname, "../../dist/lib/native.js"))}).native.devices()
  .catch((error) => { console.log(error.message); process.exitCode = 1; })`;

/** Why there is no GPU to test on; undefined when there is one. */
function whyNot(): string | undefined {
  if (process.env.CUDA_IPC_DRIVER !== "libcuda") return "CUDA_IPC_DRIVER is not libcuda";
  const { status, stdout } = spawnSync(process.execPath, ["-e", probe], { encoding: "utf8" });
  return status === 0 ? undefined : stdout.trim();
}

const missing = whyNot();

export function describeOnGpu(what: string, tests: () => void): void {
  describe.skipIf(missing !== undefined)(
    missing === undefined ? what : `${what} [skipped: ${missing}]`,
    tests,
  );
}
