import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../../dist/lib/formats/safetensors.js";
import { fixtures } from "./helpers.js";

type Expected = Record<string, { dtype: string; file: string; sha256: string; shape: number[] }>;
const expected: Record<string, Expected> = JSON.parse(
  readFileSync(path.join(fixtures, "expected.json"), "utf8"),
);
const locations = {
  dtypes: "dtypes/dtypes.safetensors",
  "llama-single": "llama-single",
  "llama-sharded": "llama-sharded",
};

describe.each(Object.entries(locations))("%s", (folder, location) => {
  test("names, dtypes, shapes, files and bytes are those of the library that wrote it", async () => {
    const checkpoint = await openCheckpoint(path.join(fixtures, location));
    const contents = await Promise.all(checkpoint.files.map((file) => readFile(file.path)));
    const found: Expected = {};
    for (const [name, { dtype, shape, file, fileOffset, bytes }] of checkpoint.tensors) {
      const data = contents[file]!.subarray(fileOffset, fileOffset + bytes);
      const sha256 = createHash("sha256").update(data).digest("hex");
      found[name] = { dtype, shape, file: path.basename(checkpoint.files[file]!.path), sha256 };
    }
    expect(found).toEqual(expected[folder]);
    expect(checkpoint.warnings).toEqual([]);
  });

  test("tensors come in load order and leave out no byte", async () => {
    const { files, tensors } = await openCheckpoint(path.join(fixtures, location));
    const next = files.map((file) => file.dataStart);
    let current = 0;
    for (const { file, fileOffset, bytes } of tensors.values()) {
      expect(file).toBeGreaterThanOrEqual(current);
      current = file;
      expect(fileOffset).toBe(next[file]);
      next[file] = fileOffset + bytes;
    }
    expect(next).toEqual(files.map((file) => file.size));
  });
});

test("metadata is read", async () => {
  const { metadata } = await openCheckpoint(path.join(fixtures, "dtypes/dtypes.safetensors"));
  expect(Object.fromEntries(metadata)).toEqual({ format: "pt", note: "written by the safetensors library" });
});
