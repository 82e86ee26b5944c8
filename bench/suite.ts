/** npm run bench. What is measured, and how, is in bench/README.md. */
import { existsSync, mkdtempSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { endWhenTold, isEnding } from "./common/ending.js";
import { table } from "./common/table.js";
import { tell, UserError } from "./common/user-error.js";
import { drawPlots, removePlots } from "./plots/draw.js";
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
  let saving = Promise.resolve();
  const built = await preparePeers(chosen);
  const folder = scratchFolder(options);
  const cleanUp = () => rm(folder, { recursive: true, force: true, maxRetries: 3 });
  endWhenTold(async () => {
    await killMeasures();
    await saving.catch(() => {});
    await cleanUp();
  });
  try {
    await runAll(chosen, built, options, folder, measured, () => {
      saving = save();
      return saving;
    });
    await draw(out, results);
    say(`\n${table([["headline", measured.label, "aim"], ...headlineRows(results.headline)])}\n\n${file}`);
    if (options.json) say(JSON.stringify(results));
    const failed = results.outcomes.filter(({ status }) => status === "failed");
    if (failed.length > 0) process.exitCode = 1;
  } finally {
    await cleanUp();
  }
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

/** Where models are written. */
function scratchFolder({ folder }: SuiteOptions): string {
  const parent = folder ?? os.tmpdir();
  try {
    return mkdtempSync(path.join(parent, "cuda-ipc-bench-"));
  } catch (error) {
    throw new UserError(
      `Models cannot be written to ${parent}; --dir names another folder: ${(error as Error).message}`,
    );
  }
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
