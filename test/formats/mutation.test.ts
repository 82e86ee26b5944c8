import { readFile } from "node:fs/promises";
import path from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CudaIpcError } from "../../dist/lib/errors.js";
import { tensorBytes } from "../../dist/lib/formats/dtypes.js";
import { type Header, parseHeader } from "../../dist/lib/formats/header.js";
import { JsonError, OddNumber, parseJson } from "../../dist/lib/formats/json.js";
import { openCheckpoint } from "../../dist/lib/formats/safetensors.js";
import { fixtures, scratch } from "./helpers.js";

const files = scratch();

interface Edit {
  at: number;
  remove: number;
  insert: Uint8Array;
}
const insert = fc.oneof(
  fc.uint8Array({ maxLength: 3 }),
  fc
    .constantFrom('"', "{", "}", "[0,4]", ",", "0", "9", "-", "1e9", "\\u0000", '"F4"', "null")
    .map((s) => Buffer.from(s)),
);
const edits = fc.array(fc.record({ at: fc.nat(), remove: fc.nat(4), insert }), {
  minLength: 1,
  maxLength: 3,
});

function edited(bytes: Buffer, list: Edit[]): Buffer {
  return list.reduce((current, { at, remove, insert: added }) => {
    const start = at % (current.length + 1);
    return Buffer.concat([current.subarray(0, start), added, current.subarray(start + remove)]);
  }, bytes);
}

/** What every accepted header promises, checked in another way than the parser does. */
function expectValid({ tensors, metadata }: Header, dataBytes: number): void {
  let end = 0;
  for (const tensor of tensors) {
    expect(tensor.begin).toBe(end);
    expect(tensor.end - tensor.begin).toBe(tensorBytes(tensor.dtype, tensor.shape));
    end = tensor.end;
  }
  expect(end).toBe(dataBytes);
  expect(new Set(tensors.map(({ name }) => name)).size).toBe(tensors.length);
  for (const value of metadata.values()) expect(typeof value).toBe("string");
}

test("an edited header is valid or refused by a rule", async () => {
  const content = await readFile(path.join(fixtures, "dtypes/dtypes.safetensors"));
  const start = 8 + Number(content.readBigUInt64LE());
  const header = content.subarray(8, start);
  const dataBytes = content.length - start;
  expectValid(parseHeader("original", header, dataBytes), dataBytes);
  fc.assert(
    fc.property(edits, (list) => {
      try {
        expectValid(parseHeader("edited", edited(header, list), dataBytes), dataBytes);
      } catch (error) {
        if (!(error instanceof CudaIpcError)) throw error;
        expect(error.code).toBe("ERR_CUDA_IPC_FORMAT");
        expect(error.details).toMatchObject({ path: "edited", rule: expect.any(String) });
      }
    }),
    { numRuns: 3000 },
  );
});

test("an edited file is valid or refused by a rule", async () => {
  const content = await readFile(path.join(fixtures, "dtypes/dtypes.safetensors"));
  await fc.assert(
    fc.asyncProperty(edits, async (list) => {
      const file = await files.put("edited.safetensors", edited(content, list));
      const outcome = await openCheckpoint(file).catch((error: unknown) => error);
      if (outcome instanceof Error)
        expect(outcome).toMatchObject({ code: "ERR_CUDA_IPC_FORMAT", details: { path: file } });
    }),
    { numRuns: 200 },
  );
});

/** Maps and odd numbers as JSON.parse gives them. */
function plain(value: unknown): unknown {
  if (value instanceof OddNumber) return Number(value.text);
  if (Array.isArray(value)) return value.map(plain);
  return value instanceof Map ? new Map([...value].map(([key, item]) => [key, plain(item)])) : value;
}
function asMaps(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asMaps);
  if (typeof value !== "object" || value === null) return value;
  return new Map(Object.entries(value).map(([key, item]) => [key, asMaps(item)]));
}

test("the JSON reader agrees with JSON.parse on what it accepts, and accepts nothing else", () => {
  fc.assert(
    fc.property(fc.json(), edits, fc.boolean(), (json, list, edit) => {
      const source = edit ? edited(Buffer.from(json), list).toString() : json;
      let found: unknown;
      try {
        found = parseJson(source);
      } catch (error) {
        expect(error).toBeInstanceOf(JsonError);
        // What it refuses beyond JSON.parse is a duplicate key or an unpaired surrogate.
        if (/twice|surrogate/.test((error as Error).message)) return;
        expect(() => JSON.parse(source)).toThrow(SyntaxError);
        return;
      }
      expect(plain(found)).toEqual(asMaps(JSON.parse(source)));
    }),
    { numRuns: 2000 },
  );
});
