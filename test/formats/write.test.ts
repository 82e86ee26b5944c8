import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Dtype, dtypes, elementsPerByteBoundary, tensorBytes } from "../../dist/lib/formats/dtypes.js";
import { openCheckpoint } from "../../dist/lib/formats/safetensors.js";
import { type TensorToWrite, writeSafetensors } from "../../dist/lib/formats/write.js";
import { fixtures, refusalOf, scratch } from "./helpers.js";

const files = scratch();

async function readBack(file: string): Promise<Map<string, Buffer>> {
  const { tensors } = await openCheckpoint(file);
  const content = await readFile(file);
  const parts = [...tensors.values()].map(
    ({ name, fileOffset, bytes }) => [name, content.subarray(fileOffset, fileOffset + bytes)] as const,
  );
  return new Map(parts);
}

test.each(["dtypes/dtypes.safetensors", "llama-single/model.safetensors"])(
  "%s comes out byte for byte as the reference library wrote it",
  async (fixture) => {
    const original = path.join(fixtures, fixture);
    const { tensors, metadata } = await openCheckpoint(original);
    const bytes = await readBack(original);
    const shuffled = [...tensors.values()]
      .reverse()
      .map(({ name, dtype, shape }) => ({ name, dtype, shape, data: bytes.get(name)! }));
    const copy = files.path("copy.safetensors");
    expect(await writeSafetensors(copy, shuffled, { metadata })).toEqual({
      bytes: (await readFile(original)).length,
    });
    expect((await readFile(copy)).equals(await readFile(original))).toBe(true);
  },
);

const text = fc.string({ unit: "grapheme", maxLength: 12 });
const tensor = fc
  .record({
    name: fc.oneof(text, fc.constantFrom("__proto__", "constructor", "")),
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.nat(6), { maxLength: 4 }),
    seed: fc.nat(255),
  })
  .map(({ name, dtype, shape, seed }) => {
    const whole = [...shape, elementsPerByteBoundary(dtype)];
    const data = Buffer.alloc(tensorBytes(dtype, whole)!).map((_, i) => (i + seed) % 256);
    return { name, dtype, shape: whole, data: Buffer.from(data) };
  })
  .filter(({ name }) => name !== "__metadata__");

test("what is written is read back, whatever it is", async () => {
  const sets = fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(sets, fc.dictionary(text, text), fc.boolean(), async (tensors, metadata, streamed) => {
      const file = files.path("random.safetensors");
      const inChunks = (data: Buffer) =>
        async function* () {
          for (let at = 0; at < data.length; at += 7) yield data.subarray(at, at + 7);
        };
      const toWrite = tensors.map((item) => ({ ...item, data: streamed ? inChunks(item.data) : item.data }));
      await writeSafetensors(file, toWrite, { metadata });
      const checkpoint = await openCheckpoint(file);
      expect(checkpoint.files[0]!.dataStart % 8).toBe(0);
      expect(checkpoint.metadata).toEqual(new Map(Object.entries(metadata)));
      const bytes = await readBack(file);
      expect(bytes.size).toBe(tensors.length);
      for (const { name, dtype, shape, data } of tensors) {
        expect(checkpoint.tensors.get(name)).toMatchObject({ dtype, shape });
        expect(bytes.get(name)!.equals(data)).toBe(true);
      }
    }),
    { numRuns: 60 },
  );
});

test("a producer may refill one buffer, and is asked only when its turn has come", async () => {
  const buffer = new Uint32Array(1024);
  const begun: string[] = [];
  const produce = (name: string, first: number) =>
    function* () {
      begun.push(name);
      for (let chunk = 0; chunk < 4; chunk++) {
        buffer.fill(first + chunk);
        yield buffer;
      }
    };
  const file = files.path("produced.safetensors");
  const make = (name: string, first: number): TensorToWrite => ({
    name,
    dtype: "U32",
    shape: [4, 1024],
    data: produce(name, first),
  });
  await writeSafetensors(file, [make("b", 4), make("a", 0)]);
  expect(begun).toEqual(["a", "b"]);
  const bytes = await readBack(file);
  const words = ["a", "b"].flatMap((name) =>
    [0, 1, 2, 3].map((chunk) => bytes.get(name)!.readUInt32LE(chunk * 4096)),
  );
  expect(words).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

describe("refuses", () => {
  const good: TensorToWrite = { name: "w", dtype: "F32", shape: [2], data: new Float32Array(2) };
  const bad: [string, object][] = [
    ["a reserved name", { name: "__metadata__" }],
    ["a name that has no UTF-8 form", { name: "\ud800" }],
    ["an unknown dtype", { dtype: "F31" as Dtype }],
    ["a negative dimension", { shape: [-2] }],
    ["an overflow", { shape: [2 ** 40, 2 ** 40] }],
    ["half a byte", { dtype: "F4", shape: [3], data: Buffer.alloc(2) }],
    ["too few bytes", { data: new Float32Array(1) }],
    ["no bytes", { data: undefined }],
    ["a producer of too few bytes", { data: () => [new Float32Array(1)] }],
    ["a producer of too many bytes", { data: () => [new Float32Array(2), new Float32Array(1)] }],
    ["a producer of something else", { data: () => ["bytes"] }],
  ];

  test.each(bad)("%s, and leaves the file that was there", async (_what, change) => {
    const file = await files.put("kept.safetensors", "before");
    await refusalOf(writeSafetensors(file, [{ ...good, ...change }]), "ERR_CUDA_IPC_INVALID_ARGUMENT");
    expect(await readFile(file, "utf8")).toBe("before");
    expect((await readdir(path.dirname(file))).filter((name) => name.endsWith(".partial"))).toEqual([]);
  });

  test("one name twice, and metadata that is not text", async () => {
    const file = files.path("never.safetensors");
    await refusalOf(writeSafetensors(file, [good, good]), "ERR_CUDA_IPC_INVALID_ARGUMENT");
    const metadata = { step: 1 } as unknown as Record<string, string>;
    await refusalOf(writeSafetensors(file, [good], { metadata }), "ERR_CUDA_IPC_INVALID_ARGUMENT");
  });

  test("a folder that does not exist, with the system's error", async () => {
    const file = files.path("absent/model.safetensors");
    expect(await refusalOf(writeSafetensors(file, [good]), "ERR_CUDA_IPC_FILE")).toMatchObject({
      errno: 2,
    });
  });

  test("an aborted write, which leaves nothing", async () => {
    const abort = new AbortController();
    const reason = new Error("enough");
    const data = function* () {
      yield new Float32Array(1);
      abort.abort(reason);
      yield new Float32Array(1);
    };
    const file = files.path("aborted.safetensors");
    await expect(writeSafetensors(file, [{ ...good, data }], { signal: abort.signal })).rejects.toBe(reason);
    expect((await readdir(path.dirname(file))).filter((name) => name.startsWith("aborted"))).toEqual([]);
  });
});
