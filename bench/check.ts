/** npm run bench:check FILE...: recomputes each headline from its file's own samples, and fails on a difference. */
import { checkResults } from "./suite/check.js";
import { readResults } from "./suite/results.js";

async function main(files: readonly string[]): Promise<void> {
  if (files.length === 0) throw new Error("usage: npm run bench:check -- results.json...");
  for (const file of files) {
    const problems = checkResults(await readResults(file));
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
