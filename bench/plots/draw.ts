/** The plots of a results folder: drawn from its results, and removed where they are of others. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import path from "node:path";
import { text } from "node:stream/consumers";
import { packageRoot } from "../common/paths.js";
import type { Results } from "../suite/results.js";
import { attachPlot } from "./attach.js";
import type { Spec } from "./chart.js";
import { loadsPlot } from "./loads.js";
import { memoryPlot } from "./memory.js";

const plots: Record<string, (results: Results) => Spec | undefined> = {
  "loads.svg": loadsPlot,
  "attach.svg": attachPlot,
  "memory.svg": memoryPlot,
};

const renderer = path.join(packageRoot, "bench", "plots", "render.mjs");

export interface Drawn {
  /** Paths of the plots. */
  files: string[];
  /** Names of those whose measure is not in the results. */
  missing: string[];
}

/** Draws every plot whose measure is there. The folder keeps no other: one of an earlier run would be of other numbers. */
export async function drawPlots(folder: string, results: Results): Promise<Drawn> {
  await removePlots(folder);
  const specs = new Map(Object.entries(plots).map(([name, draw]) => [name, draw(results)]));
  const found = [...specs].filter(([, spec]) => spec !== undefined);
  const missing = [...specs.keys()].filter((name) => specs.get(name) === undefined);
  const files = found.map(([name]) => path.join(folder, name));
  if (files.length > 0) {
    try {
      await render(Object.fromEntries(found.map(([, spec], i) => [files[i]!, spec!])));
    } catch (error) {
      await removePlots(folder);
      throw error;
    }
  }
  return { files, missing };
}

export async function removePlots(folder: string): Promise<void> {
  for (const name of Object.keys(plots)) await rm(path.join(folder, name), { force: true });
}

/** In a process of its own: vega is an ES module, and one of the development dependencies, which may not be there. */
async function render(specs: Record<string, Spec>): Promise<void> {
  const child = spawn(process.execPath, [renderer], { stdio: ["pipe", "ignore", "pipe"] });
  const closed = once(child, "close");
  // One that ended before it read everything says why on standard error.
  child.stdin.on("error", () => {});
  child.stdin.end(JSON.stringify(specs));
  const [errors, [code, signal]] = await Promise.all([text(child.stderr), closed]);
  if (code === 0) return;
  const why =
    errors.split("\n").find((line) => /^\w*Error\b/.test(line)) ?? `it ended with ${signal ?? code}`;
  throw new Error(`The plots were not drawn. They need the development dependencies (npm ci): ${why}`);
}
