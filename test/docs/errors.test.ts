// docs/errors.md lists every code that the sources can throw, and no other.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";

const root = path.join(__dirname, "../..");

function filesIn(folder: string, ending: RegExp): string[] {
  return readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })
    .map((name) => path.join(root, folder, name))
    .filter((name) => ending.test(name));
}

const read = (file: string) => readFileSync(file, "utf8");
const sources = [...filesIn("lib", /\.ts$/), ...filesIn("native", /\.(cc|h|def)$/)];
const sorted = (codes: Iterable<string>) => [...new Set(codes)].sort();

/** The first column of every table. */
function documented(pattern: RegExp): string[] {
  return [...read(path.join(root, "docs/errors.md")).matchAll(pattern)].map((match) => match[1]!);
}

function quotedInSources(pattern: RegExp): string[] {
  return sources.flatMap((file) => [...read(file).matchAll(pattern)].map((match) => match[1]!));
}

test("every code that can be thrown is in docs/errors.md, and no other", () => {
  const listed = documented(/^\| `(ERR_CUDA_IPC_[A-Z0-9_]+)` \|/gm);
  expect(listed.length, "a code has one row").toBe(new Set(listed).size);
  expect(sorted(listed)).toEqual(sorted(quotedInSources(/"(ERR_CUDA_IPC_[A-Z0-9_]+)"/g)));
});

test("every warning is in docs/errors.md, and no other", () => {
  const warnings = quotedInSources(/code: "(CUDA_IPC_[A-Z_]+)"/g);
  expect(sorted(documented(/^\| `(CUDA_IPC_[A-Z_]+)` \|/gm))).toEqual(sorted(warnings));
});

test("comments and pages name only codes that exist", () => {
  const pages = [...filesIn("docs", /\.md$/), path.join(root, "README.md")];
  const known = new Set(documented(/^\| `(ERR_CUDA_IPC_[A-Z0-9_]+)` \|/gm));
  for (const file of [...sources, ...pages]) {
    const named = [...read(file).matchAll(/\bERR_CUDA_IPC_[A-Z0-9_]*[A-Z0-9]\b/g)].map(([code]) => code);
    expect(
      named.filter((code) => !known.has(code)),
      file,
    ).toEqual([]);
  }
});
