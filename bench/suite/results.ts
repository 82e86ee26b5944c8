/** What a results folder holds: results.json is the record, and everything else is made from it. */
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { packageRoot } from "../common/paths.js";
import { UserError } from "../common/user-error.js";
import type { Headline } from "./headline.js";
import type { Machine } from "./machine.js";

export type Unit = "ms" | "us" | "ns" | "GB/s" | "per second" | "bytes" | "ratio";
export type Labels = Readonly<Record<string, string | number>>;

/** Samples of one thing under one set of conditions. */
export interface Series {
  measure: string;
  /** Who did it: "cuda-ipc", or a peer. */
  by: string;
  /** What was timed or counted. */
  what: string;
  labels: Labels;
  unit: Unit;
  samples: number[];
}

export interface Outcome {
  measure: string;
  status: "done" | "failed" | "skipped";
  /** Why it failed or was skipped. */
  reason?: string;
  seconds: number;
  /** Index into `runs`. */
  run: number;
}

export interface Run {
  at: string;
  /** The options of the command. */
  options: string[];
  commit: string;
  machine: Machine;
}

export interface PeerState {
  peer: string;
  /** That asked for it. Files of before this was recorded have one state for each peer. */
  measure?: string;
  status: "present" | "absent" | "failed";
  versions?: Record<string, string>;
  reason?: string;
}

export interface Results {
  format: 1;
  driver: "libcuda" | "host";
  /** What the numbers are of, in words. */
  label: string;
  quick: boolean;
  runs: Run[];
  outcomes: Outcome[];
  peers: PeerState[];
  notes: { measure: string; text: string }[];
  headline: Headline;
  series: Series[];
}

/** What the numbers are of, in words. */
export function labelOf(driver: Results["driver"], machine: Machine): string {
  return driver === "host" ? "HOST DRIVER, no GPU" : machine.gpu;
}

/** Text for the record: it must not tell where on its machine the project lies. */
export function withoutRoot(text: string): string {
  return text.replaceAll(`${path.resolve(packageRoot)}/`, "");
}

/** The options of a command, for the record: without the folders, which are its machine's. */
export function recordedOptions(argv: readonly string[]): string[] {
  const folders = ["--out", "--dir"];
  return argv.filter(
    (word, at) =>
      !folders.includes(word) &&
      !folders.includes(argv[at - 1] ?? "") &&
      !folders.some((name) => word.startsWith(`${name}=`)),
  );
}

export async function readResults(file: string): Promise<Results> {
  const results = JSON.parse(await readFile(file, "utf8")) as Results;
  if (results.format !== 1) throw new Error(`${file} is not a results file of format 1.`);
  return results;
}

/** In one step: a run that is stopped leaves the file that was there. */
export async function writeResults(file: string, results: Results): Promise<void> {
  try {
    await writeFile(`${file}.new`, formatResults(results));
    await rename(`${file}.new`, file);
  } catch (error) {
    await rm(`${file}.new`, { force: true });
    throw new UserError(
      `${file} could not be written; --out names another folder: ${(error as Error).message}`,
    );
  }
}

/** One line for each series, so that a change of one shows as one. */
function formatResults({ series, ...rest }: Results): string {
  const head = JSON.stringify(rest, undefined, 2).replace(/\n}$/, "");
  const lines = series.map((one) => `    ${JSON.stringify(one)}`).join(",\n");
  return `${head},\n  "series": [\n${lines}\n  ]\n}\n`;
}

/** Takes another run in: its measures replace those of the same name. Refuses what must not be in one file. */
export function merge(before: Results, after: Results): Results {
  const [last, next] = [before.runs.at(-1)!, after.runs[0]!];
  const differences: string[] = [
    ...(["driver", "quick"] as const).filter((key) => before[key] !== after[key]),
    ...(last.commit === next.commit ? [] : ["commit"]),
    ...(["gpu", "driverVersion", "cpu"] as const).filter((key) => last.machine[key] !== next.machine[key]),
  ];
  if (differences.length > 0) {
    throw new Error(
      `These results cannot be merged with those there: they differ in ${differences.join(", ")}.`,
    );
  }
  const replaced = new Set(after.outcomes.map(({ measure }) => measure));
  const kept = <T extends { measure: string }>(list: readonly T[]) =>
    list.filter((one) => !replaced.has(one.measure));
  const shift = before.runs.length;
  const asked = new Set(after.peers.map(({ peer }) => peer));
  const peers = before.peers.filter(({ peer, measure }) =>
    measure === undefined ? !asked.has(peer) : !replaced.has(measure),
  );
  return {
    ...after,
    runs: [...before.runs, ...after.runs],
    outcomes: [...kept(before.outcomes), ...after.outcomes.map((one) => ({ ...one, run: one.run + shift }))],
    peers: [...peers, ...after.peers],
    notes: [...kept(before.notes), ...after.notes],
    series: [...kept(before.series), ...after.series],
  };
}
