/** Traffic on shared weights, while a random schedule kills, stops and replaces the processes: see docs/survival.md. */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { Findings } from "./findings.js";
import { Log } from "./log.js";
import { type Options, readOptions } from "./options.js";
import { run } from "./run.js";

async function main(options: Options): Promise<number> {
  const seed = options.seed ?? Math.floor(Math.random() * 2 ** 32);
  if (options.driver !== undefined) process.env.CUDA_IPC_DRIVER = options.driver;
  // A machine of its own on the host driver: what others allocate there is no leak of this run.
  process.env.CUDA_IPC_HOST_SCOPE = `chaos-${process.pid}`;
  const findings = new Findings(seed);
  const log = new Log(options.json ? process.stderr : process.stdout);
  log.line(`seed ${seed}: the same schedule with --seed ${seed}`);
  const folder = mkdtempSync(path.join(os.tmpdir(), "cuda-ipc-chaos-"));
  try {
    await run(options, folder, findings, log);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const broken = findings.broken(options.concurrency, options.maxOutage);
  for (const sentence of broken) log.line(`BROKEN PROMISE ${sentence}`);
  if (options.json) process.stdout.write(`${JSON.stringify(findings.figures)}\n`);
  else log.line(`${JSON.stringify(findings.figures)}`);
  return broken.length > 0 ? 1 : 0;
}

function cannotBegin(error: unknown): number {
  process.stderr.write(`chaos: ${(error as Error).message}\n`);
  return 2;
}

main(readOptions(process.argv))
  .catch(cannotBegin)
  .then((code) => {
    // After a hang, what was waited for is waited for still.
    process.exitCode = code;
    process.stdout.write("", () => process.stderr.write("", () => process.exit()));
  });
