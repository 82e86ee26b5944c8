/** npm run bench:attach. What is measured, and how, is in bench/README.md. */
import { rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { cudaDriverGetVersion, cudaGetDeviceProperties } from "../lib/index.js";
import type { OwnerCommands } from "./actors/owner.js";
import { checkContent } from "./attach/content.js";
import { type DeathSample, measureDeaths } from "./attach/deaths.js";
import { measureLatency, measureRoundTrips, type Sample } from "./attach/latency.js";
import { plannedBytes, planTensors, writeModel } from "./attach/model.js";
import { type Options, readOptions } from "./attach/options.js";
import { aim, deathText, judgeDeaths, judgeLatency, latencyText, straightText } from "./attach/report.js";
import { measureStraight } from "./attach/straight.js";
import { Child } from "./common/child.js";
import { endWhenTold, endWithOutput, isEnding } from "./common/ending.js";
import { makeScratchFolder } from "./common/scratch-folder.js";
import { summarize } from "./common/statistics.js";
import { bytesText } from "./common/table.js";
import { tell } from "./common/user-error.js";

interface Result {
  sharing: "vmm" | "ipc";
  deviceBytes: number;
  loadSeconds: number;
  samples: Sample[];
  roundTrips: number[];
  straight: number[];
  deaths: DeathSample[];
}

async function main(): Promise<void> {
  const options = readOptions(process.argv);
  // For this process and all that it starts.
  process.env.CUDA_IPC_DRIVER = options.driver;
  const device = await cudaGetDeviceProperties({ device: options.device });
  const driverVersion = await cudaDriverGetVersion();
  say(
    `${options.driver === "host" ? "HOST DRIVER, no GPU: " : ""}${device.name}, ${process.arch}, Node ${process.version}`,
  );

  const folder = makeScratchFolder(options.folder);
  const owner = new Child<OwnerCommands>(path.join(__dirname, "actors", "owner.js"));
  const cleanUp = async () => {
    owner.kill();
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  endWhenTold(cleanUp);
  endWithOutput(cleanUp);
  try {
    const plan = planTensors(options.bytes, options.tensors);
    const file = path.join(folder, "model.safetensors");
    say(`Writing ${plan.length} tensors, ${bytesText(plannedBytes(plan))}, to a temporary file ...`);
    await writeModel(file, plan);
    await owner.call("listen", path.join(folder, "owner.sock"));
    const results: Result[] = [];
    for (const sharing of options.sharings)
      results.push(await measure(owner, options, sharing, folder, file));
    await owner.call("close");
    await owner.end();
    if (options.json)
      printJson(options, { name: device.name, uuid: device.uuid, driverVersion }, plan.length, results);
  } finally {
    await cleanUp();
  }
}

async function measure(
  owner: Child<OwnerCommands>,
  options: Options,
  sharing: "vmm" | "ipc",
  folder: string,
  file: string,
): Promise<Result> {
  const { driver, device, samples: rounds, repeats, rested, kills } = options;
  const at = { set: `bench-${sharing}`, socket: path.join(folder, "owner.sock"), device };
  const published = await owner.call("publish", at.set, file, sharing, device);
  say(`\n== ${sharing}: published ${published.tensors} tensors in ${published.seconds.toFixed(2)} s`);
  await checkContent(at, file);

  const onRound = (of: string, count: number) => (round: number) =>
    progress(`${sharing}: ${of} ${round + 1}/${count}`);
  const plan = {
    ...{ driver, sharing, bytes: published.bytes, samples: rounds, repeats, rested, asking: true },
    ...at,
  };
  const samples = await measureLatency({ ...plan, onRound: onRound("attach, round", rounds) });
  const roundTrips = await measureRoundTrips(at, 200);
  const straight = await measureStraight(at, rounds);
  progress("");
  say(latencyText(sharing, samples, summarize(roundTrips)));
  say(straightText(sharing, summarize(straight)));
  const deaths = await measureDeaths(owner, { ...at, kills, onRound: onRound("kill", kills) });
  progress("");
  if (deaths.length > 0) say(`\n${deathText(sharing, deaths)}`);
  await owner.call("retire", at.set);
  return {
    sharing,
    deviceBytes: published.bytes,
    loadSeconds: published.seconds,
    samples,
    roundTrips,
    straight,
    deaths,
  };
}

function printJson(
  options: Options,
  device: { name: string; uuid: string; driverVersion: number },
  tensors: number,
  results: readonly Result[],
): void {
  const cpu = os.cpus();
  const machine = { cpu: cpu[0]?.model, cpus: cpu.length, arch: process.arch, node: process.version };
  const sharings = results.map((result) => ({
    ...result,
    verdicts: judgeLatency(result.samples),
    deathVerdict: result.deaths.length > 0 ? judgeDeaths(result.deaths) : undefined,
  }));
  say(JSON.stringify({ bench: "attach", driver: options.driver, device, machine, tensors, aim, sharings }));
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** One line that is written over, for people only. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

main().catch((error) => {
  if (!isEnding()) tell(error);
});
