/** npm run bench. What is measured, and how, is in bench/README.md. */
import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { endWhenTold, isEnding } from "./common/ending.js";
import { makeScratchFolder } from "./common/scratch-folder.js";
import { table } from "./common/table.js";
import { tell } from "./common/user-error.js";
import { drawPlots, removePlots } from "./plots/draw.js";
import type { Measure } from "./suite/bench.js";
import { choose, measures } from "./suite/catalogue.js";
import { computeHeadline } from "./suite/headline.js";
import { currentCommit, describeMachine } from "./suite/machine.js";
import { headlineRows, markdown } from "./suite/markdown.js";
import { readOptions, type SuiteOptions } from "./suite/options.js";
import { makeOutFolder } from "./suite/out-folder.js";
import { preparePeers, resultsFolder } from "./suite/prepare.js";
import { labelOf, merge, type Results, readResults, recordedOptions, writeResults } from "./suite/results.js";
import { runAll } from "./suite/run.js";
import { killMeasures } from "./suite/runner.js";

async function main(): Promise<void> {
  const options = readOptions(process.argv);
  if (options.list) {
    process.stdout.write(`${table(measures.map(({ name, title }) => [name, title]))}\n`);
    return;
  }
  const chosen = choose(options.filter);
  // Whoever reads along may stop: the results go to files.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  // For this process and all that it starts.
  process.env.CUDA_IPC_DRIVER = options.driver;
  // A "machine" of the run's own on the host driver: nobody else's memory counts.
  process.env.CUDA_IPC_HOST_SCOPE ??= `bench-${process.pid}`;
  const measured = await startResults(options);
  const { machine } = measured.runs[0]!;
  say(`${measured.label}: ${machine.gpu}, ${machine.cpu}, ${machine.cpus} CPUs, Node ${machine.node}`);
  const folder = makeScratchFolder(options.folder);
  const cleanUp = () => rm(folder, { recursive: true, force: true, maxRetries: 3 });
  let saving = Promise.resolve();
  endWhenTold(async () => {
    await killMeasures();
    await saving.catch(() => {});
    await cleanUp();
  });
  try {
    await measure(options, chosen, measured, folder, (save) => {
      saving = save();
      return saving;
    });
  } finally {
    await cleanUp();
  }
}

/** `keep` is given what must not be interrupted. */
async function measure(
  options: SuiteOptions,
  chosen: readonly Measure[],
  measured: Results,
  folder: string,
  keep: (save: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const out = options.out ?? resultsFolder(measured);
  await makeOutFolder(out);
  const file = path.join(out, "results.json");
  const before = options.merge && existsSync(file) ? await readResults(file) : undefined;
  let results = measured;
  // After each measure: a run that is ended early keeps what it has.
  const save = async () => {
    results = before === undefined ? measured : merge(before, measured);
    results.headline = computeHeadline(results);
    await removePlots(out);
    await writeResults(file, results);
    await writeFile(path.join(out, "results.md"), markdown(results));
  };
  const built = await preparePeers(chosen);
  await runAll(chosen, built, options, folder, measured, () => keep(save));
  await draw(out, results);
  say(`\n${table([["headline", measured.label, "aim"], ...headlineRows(results.headline)])}\n\n${file}`);
  if (options.json) say(JSON.stringify(results));
  if (results.outcomes.some(({ status }) => status === "failed")) process.exitCode = 1;
}

async function startResults({ driver, device, quick, commit }: SuiteOptions): Promise<Results> {
  const machine = await describeMachine(device);
  const empty: Omit<Results, "headline"> = {
    format: 1,
    driver,
    label: labelOf(driver, machine),
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

/** The numbers are there without them. */
async function draw(out: string, results: Results): Promise<void> {
  try {
    await drawPlots(out, results);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

main().catch((error) => {
  if (!isEnding()) tell(error);
});
