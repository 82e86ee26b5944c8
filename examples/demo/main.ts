/** npm run demo: an owner, a cluster of HTTP workers, one copy of the weights, and a SIGKILL in the middle. */
import cluster from "node:cluster";
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { readOptions } from "./options.js";
import { findFaults } from "./outcome.js";
import { say } from "./report.js";
import { runScenario } from "./scenario.js";

async function main(): Promise<void> {
  const options = readOptions(process.argv);
  const folder = await mkdtemp(path.join(os.tmpdir(), "cuda-ipc-demo-"));
  process.once("exit", () => cleanUp(folder));
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => process.exit(128 + os.constants.signals[signal]));
  }
  const outcome = await runScenario(options, folder);
  const faults = findFaults(outcome);
  say(faults.length === 0 ? "\nAll checks passed." : `\nWRONG:\n  ${faults.join("\n  ")}`);
  if (options.json) say(JSON.stringify(outcome));
  process.exitCode = faults.length === 0 ? 0 : 1;
}

/** Whatever way it ended. Synchronous: the process is exiting. */
function cleanUp(folder: string): void {
  for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}

main().catch((error) => {
  process.stderr.write(`${error?.stack ?? error}\n`);
  process.exit(1);
});
