/** npm run bench:plot FOLDER: draws the plots of a results folder anew from its results.json. */
import path from "node:path";
import { drawPlots } from "./plots/draw.js";
import { readResults } from "./suite/results.js";

async function main([folder]: readonly string[]): Promise<void> {
  if (folder === undefined) throw new Error("usage: npm run bench:plot -- FOLDER");
  const { files, missing } = await drawPlots(folder, await readResults(path.join(folder, "results.json")));
  for (const name of missing) process.stderr.write(`${name}: not drawn, its measure is not in the results\n`);
  for (const file of files) process.stdout.write(`${file}\n`);
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error?.message ?? error}\n`);
  process.exitCode = 1;
});
