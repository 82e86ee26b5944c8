/** npm run bench:plot FOLDER: draws the plots of a results folder from its results.json. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { packageRoot } from "./common/paths.js";
import { attachPlot } from "./plots/attach.js";
import type { Spec } from "./plots/chart.js";
import { loadsPlot } from "./plots/loads.js";
import { memoryPlot } from "./plots/memory.js";
import { type Results, readResults } from "./suite/results.js";

const plots: Record<string, (results: Results) => Spec | undefined> = {
  "loads.svg": loadsPlot,
  "attach.svg": attachPlot,
  "memory.svg": memoryPlot,
};

async function main([folder]: readonly string[]): Promise<void> {
  if (folder === undefined) throw new Error("usage: npm run bench:plot -- FOLDER");
  const results = await readResults(path.join(folder, "results.json"));
  const specs: Record<string, Spec> = {};
  for (const [file, draw] of Object.entries(plots)) {
    const spec = draw(results);
    if (spec === undefined) process.stderr.write(`${file}: not drawn, its measure is not in the results\n`);
    else specs[path.join(folder, file)] = spec;
  }
  const renderer = path.join(packageRoot, "bench", "plots", "render.mjs");
  const child = spawn(process.execPath, [renderer], { stdio: ["pipe", "inherit", "inherit"] });
  child.stdin.end(JSON.stringify(specs));
  const [code] = await once(child, "close");
  if (code !== 0)
    throw new Error("The plots were not drawn. They need the development dependencies (npm ci).");
  for (const file of Object.keys(specs)) process.stdout.write(`${file}\n`);
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error?.message ?? error}\n`);
  process.exitCode = 1;
});
