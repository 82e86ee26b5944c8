/**
 * npm run bench:check FILE...: whether each file is whole and agrees with itself. Recomputes its headline from its own
 * samples, and fails on a difference.
 */
import { readFile } from "node:fs/promises";
import { checkResults } from "./suite/check.js";

async function main(files: readonly string[]): Promise<void> {
  if (files.length === 0) throw new Error("usage: npm run bench:check -- results.json...");
  for (const file of files) {
    const problems = checkResults(JSON.parse(await readFile(file, "utf8")));
    process.stdout.write(
      problems.length === 0 ? `${file}: sound\n` : `${file}:\n  ${problems.join("\n  ")}\n`,
    );
    if (problems.length > 0) process.exitCode = 1;
  }
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error?.message ?? error}\n`);
  process.exitCode = 1;
});
