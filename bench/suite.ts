/** npm run bench. What is measured, and how, is in bench/README.md. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { table } from "./common/table.js";
import { choose, measures } from "./suite/catalogue.js";
import { computeHeadline } from "./suite/headline.js";
import { currentCommit, describeMachine, type Machine } from "./suite/machine.js";
import { headlineRows, markdown } from "./suite/markdown.js";
import { readOptions, type SuiteOptions } from "./suite/options.js";
import { preparePeers, resultsFolder } from "./suite/prepare.js";
import { Progress } from "./suite/progress.js";
import {
  labelOf,
  merge,
  type Results,
  readResults,
  recordedOptions,
  withoutRoot,
  writeResults,
} from "./suite/results.js";
import { killMeasures, runMeasure } from "./suite/runner.js";

async function main(): Promise<void> {
  const options = readOptions(process.argv);
  if (options.list) {
    process.stdout.write(`${table(measures.map(({ name, title }) => [name, title]))}\n`);
    return;
  }
  const chosen = choose(options.filter);
  // For this process and all that it starts.
  process.env.CUDA_IPC_DRIVER = options.driver;
  // A "machine" of the run's own on the host driver: nobody else's memory counts.
  process.env.CUDA_IPC_HOST_SCOPE ??= `bench-${process.pid}`;
  const machine = await describeMachine(options.device);
  const label = labelOf(options.driver, machine);
  say(`${label}: ${machine.gpu}, ${machine.cpu}, ${machine.cpus} CPUs, Node ${machine.node}`);
  await preparePeers(chosen);
  const folder = await mkdtemp(path.join(options.folder ?? os.tmpdir(), "cuda-ipc-bench-"));
  endWhenTold(folder);
  try {
    const measured = await startResults(options, machine, label);
    const out = options.out ?? resultsFolder(measured);
    await mkdir(out, { recursive: true });
    const file = path.join(out, "results.json");
    const before = options.merge && existsSync(file) ? await readResults(file) : undefined;
    let results = measured;
    // After each measure: a run that is ended early keeps what it has.
    const save = async () => {
      results = before === undefined ? measured : merge(before, measured);
      results.headline = computeHeadline(results);
      await writeResults(file, results);
      await writeFile(path.join(out, "results.md"), markdown(results));
    };
    await runAll(chosen, options, folder, measured, save);
    say(`\n${table([["headline", label, "aim"], ...headlineRows(results.headline)])}\n\n${file}`);
    if (options.json) say(JSON.stringify(results));
    const failed = results.outcomes.filter(({ status }) => status === "failed");
    if (failed.length > 0) process.exitCode = 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function startResults(
  { driver, quick, commit }: SuiteOptions,
  machine: Machine,
  label: string,
): Promise<Results> {
  const empty: Omit<Results, "headline"> = {
    format: 1,
    driver,
    label,
    quick,
    runs: [
      {
        at: new Date().toISOString(),
        options: recordedOptions(process.argv.slice(2)),
        commit: commit ?? (await currentCommit()),
        machine,
      },
    ],
    outcomes: [],
    peers: [],
    notes: [],
    series: [],
  };
  return { ...empty, headline: computeHeadline(empty) };
}

async function runAll(
  chosen: ReturnType<typeof choose>,
  { driver, device, quick, patience }: SuiteOptions,
  shared: string,
  results: Results,
  save: () => Promise<void>,
): Promise<void> {
  const progress = new Progress(chosen.length);
  for (const { name, limitSeconds } of chosen) {
    progress.begin(name);
    const context = { measure: name, driver, device, quick, shared };
    const found = await runMeasure(context, limitSeconds * patience, (text) => progress.step(text));
    if (ending) return;
    const { status, reason, seconds } = found;
    results.outcomes.push({
      measure: name,
      status,
      reason: reason === undefined ? undefined : withoutRoot(reason),
      seconds,
      run: 0,
    });
    results.series.push(...found.series);
    results.notes.push(...found.notes.map((text) => ({ measure: name, text })));
    for (const peer of found.peers) {
      const { reason: why } = peer;
      results.peers.push({
        ...peer,
        measure: name,
        reason: why === undefined ? undefined : withoutRoot(why),
      });
    }
    await save();
    progress.end(
      `${status} in ${seconds.toFixed(1)} s${reason === undefined ? "" : `: ${reason.split("\n")[0]}`}`,
    );
  }
  progress.stop();
}

let ending = false;

/** Ctrl-C leaves no process and no model behind. */
function endWhenTold(folder: string): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      ending = true;
      killMeasures();
      rm(folder, { recursive: true, force: true }).finally(() =>
        process.exit(128 + os.constants.signals[signal]),
      );
    });
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

main().catch((error) => {
  process.stderr.write(`${error?.stack ?? error}\n`);
  process.exitCode = 1;
});
