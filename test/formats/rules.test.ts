import { execFileSync } from "node:child_process";
import { symlink } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../../dist/lib/formats/safetensors.js";
import { fileBytes, refusalOf, scratch } from "./helpers.js";

const files = scratch();
const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, end],
});
const raw = (fields: string) => `{"w":{${fields}}}`;
const huge = 2 ** 52;

interface Case {
  what: string;
  bytes: Buffer;
  rule: string;
  tensor?: string;
}

const refused: Case[] = [
  { what: "an empty file", bytes: Buffer.alloc(0), rule: "header-length" },
  { what: "a file of 7 bytes", bytes: Buffer.alloc(7), rule: "header-length" },
  { what: "a header above 100 MB", bytes: fileBytes("{}", 0, 100_000_001n), rule: "header-too-large" },
  {
    what: "a header length of 2^64 - 1",
    bytes: fileBytes("{}", 0, 2n ** 64n - 1n),
    rule: "header-too-large",
  },
  { what: "a header behind the end", bytes: fileBytes("{}", 0, 3n), rule: "header-truncated" },
  { what: "an empty header", bytes: fileBytes(""), rule: "header-start" },
  { what: "a space before the header", bytes: fileBytes(" {}"), rule: "header-start" },
  { what: "a byte order mark", bytes: fileBytes("\ufeff{}"), rule: "header-start" },
  { what: "an array for a header", bytes: fileBytes("[]"), rule: "header-start" },
  { what: "UTF-16", bytes: fileBytes(Buffer.from('{"é":1}', "latin1")), rule: "utf-8" },
  { what: "an unfinished object", bytes: fileBytes('{"w":'), rule: "json", tensor: "w" },
  { what: "an unfinished list", bytes: fileBytes('{"v":1,"w":{"shape":[1,'), rule: "json", tensor: "w" },
  { what: "something between tensors", bytes: fileBytes('{"v":1 2,"w":1}'), rule: "json" },
  {
    what: "an unknown escape in the metadata",
    bytes: fileBytes('{"__metadata__":{"x":"\\q"}}'),
    rule: "json",
  },
  { what: "a comma too many", bytes: fileBytes('{"__metadata__":{},}'), rule: "json" },
  { what: "NUL padding", bytes: fileBytes("{}\0\0"), rule: "json" },
  { what: "something behind the header", bytes: fileBytes("{} {}"), rule: "json" },
  { what: "a control character in a name", bytes: fileBytes('{"a\nb":{}}'), rule: "json" },
  { what: "an unpaired surrogate", bytes: fileBytes('{"\\ud800":{}}'), rule: "json" },
  { what: "an unknown escape", bytes: fileBytes('{"\\x41":{}}'), rule: "json" },
  { what: "deep nesting", bytes: fileBytes(`{"w":${"[".repeat(100_000)}`), rule: "json", tensor: "w" },
  {
    what: "two tensors of one name",
    bytes: fileBytes(`{"w":${JSON.stringify(f32(0, 4))},"w":${JSON.stringify(f32(0, 4))}}`, 4),
    rule: "duplicate-key",
    tensor: "w",
  },
  {
    what: "one name spelled in two ways",
    bytes: fileBytes(`{"w":${JSON.stringify(f32(0, 4))},"\\u0077":${JSON.stringify(f32(0, 4))}}`, 4),
    rule: "duplicate-key",
    tensor: "w",
  },
  {
    what: "a field twice",
    bytes: fileBytes(raw('"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]'), 4),
    rule: "duplicate-key",
    tensor: "w",
  },
  {
    what: "a field of the second tensor twice",
    bytes: fileBytes(`{"v":${JSON.stringify(f32(0, 4))},"w":{"shape":[1],"shape":[1]}}`, 8),
    rule: "duplicate-key",
    tensor: "w",
  },
  {
    what: "a key twice in the metadata",
    bytes: fileBytes('{"__metadata__":{"x":"1","x":"2"}}'),
    rule: "duplicate-key",
  },
  {
    what: "metadata twice",
    bytes: fileBytes('{"__metadata__":{},"__metadata__":{}}'),
    rule: "duplicate-key",
  },
  { what: "metadata that is a list", bytes: fileBytes({ __metadata__: [] }), rule: "metadata" },
  { what: "metadata that is null", bytes: fileBytes({ __metadata__: null }), rule: "metadata" },
  { what: "a number in the metadata", bytes: fileBytes({ __metadata__: { step: 1 } }), rule: "metadata" },
  { what: "a tensor that is a string", bytes: fileBytes({ w: "F32" }), rule: "tensor-fields", tensor: "w" },
  {
    what: "no shape",
    bytes: fileBytes({ w: { dtype: "F32", data_offsets: [0, 4] } }, 4),
    rule: "tensor-fields",
    tensor: "w",
  },
  {
    what: "a field too many",
    bytes: fileBytes({ w: { ...f32(0, 4), strides: [1] } }, 4),
    rule: "tensor-fields",
    tensor: "w",
  },
  {
    what: "another field in the place of one",
    bytes: fileBytes({ w: { dtype: "F32", shape: [1], offsets: [0, 4] } }, 4),
    rule: "tensor-fields",
    tensor: "w",
  },
  {
    what: "an unknown dtype",
    bytes: fileBytes({ w: { ...f32(0, 4), dtype: "F8" } }, 4),
    rule: "dtype",
    tensor: "w",
  },
  {
    what: "a dtype in lower case",
    bytes: fileBytes({ w: { ...f32(0, 4), dtype: "f32" } }, 4),
    rule: "dtype",
    tensor: "w",
  },
  {
    what: "an inherited name for a dtype",
    bytes: fileBytes({ w: { ...f32(0, 4), dtype: "toString" } }, 4),
    rule: "dtype",
    tensor: "w",
  },
  {
    what: "a dtype that is a number",
    bytes: fileBytes({ w: { ...f32(0, 4), dtype: 32 } }, 4),
    rule: "dtype",
    tensor: "w",
  },
  ...["-1", "1.5", "1.0", "1e0", "-0", '"1"', "null", "[1]", "9007199254740992"].map((dimension) => ({
    what: `a dimension of ${dimension}`,
    bytes: fileBytes(raw(`"dtype":"F32","shape":[${dimension}],"data_offsets":[0,4]`), 4),
    rule: "shape",
    tensor: "w",
  })),
  {
    what: "a shape that is a number",
    bytes: fileBytes({ w: { ...f32(0, 4), shape: 1 } }, 4),
    rule: "shape",
    tensor: "w",
  },
  ...["[0]", "[0,4,4]", "[4,0]", "[-4,0]", "[0,4.0]", '["0","4"]', "4", "[0,9007199254740992]"].map(
    (offsets) => ({
      what: `data_offsets of ${offsets}`,
      bytes: fileBytes(raw(`"dtype":"F32","shape":[1],"data_offsets":${offsets}`), 4),
      rule: "offsets",
      tensor: "w",
    }),
  ),
  {
    what: "a count of elements that overflows",
    bytes: fileBytes({ w: f32(0, 4, [huge, huge]) }, 4),
    rule: "overflow",
    tensor: "w",
  },
  {
    what: "a size that overflows",
    bytes: fileBytes({ w: f32(0, 4, [huge]) }, 4),
    rule: "overflow",
    tensor: "w",
  },
  {
    what: "half a byte of F4",
    bytes: fileBytes({ w: { dtype: "F4", shape: [3], data_offsets: [0, 2] } }, 2),
    rule: "sub-byte",
    tensor: "w",
  },
  {
    what: "two F6, which take 12 bits",
    bytes: fileBytes({ w: { dtype: "F6_E2M3", shape: [2], data_offsets: [0, 2] } }, 2),
    rule: "sub-byte",
    tensor: "w",
  },
  { what: "a span too short", bytes: fileBytes({ w: f32(0, 4, [2]) }, 4), rule: "size", tensor: "w" },
  { what: "a span too long", bytes: fileBytes({ w: f32(0, 8, [1]) }, 8), rule: "size", tensor: "w" },
  {
    what: "a span for a tensor without elements",
    bytes: fileBytes({ w: f32(0, 4, [0]) }, 4),
    rule: "size",
    tensor: "w",
  },
  { what: "data that begins late", bytes: fileBytes({ w: f32(4, 8) }, 8), rule: "contiguous", tensor: "w" },
  { what: "a hole", bytes: fileBytes({ w: f32(0, 4), v: f32(8, 12) }, 12), rule: "contiguous", tensor: "v" },
  {
    what: "an overlap",
    bytes: fileBytes({ w: f32(0, 8), v: f32(4, 12) }, 12),
    rule: "contiguous",
    tensor: "v",
  },
  {
    what: "a span used twice",
    bytes: fileBytes({ w: f32(0, 4), v: f32(0, 4) }, 4),
    rule: "contiguous",
    tensor: "v",
  },
  {
    what: "an empty tensor within another",
    bytes: fileBytes({ w: f32(0, 8), v: f32(4, 4) }, 8),
    rule: "contiguous",
    tensor: "v",
  },
  {
    what: "a file cut off",
    bytes: fileBytes({ v: f32(0, 4), x: f32(12, 16), w: f32(4, 12) }, 8),
    rule: "end-of-file",
    tensor: "w",
  },
  { what: "bytes behind the last tensor", bytes: fileBytes({ w: f32(0, 8) }, 9), rule: "end-of-file" },
  { what: "data without tensors", bytes: fileBytes({}, 1), rule: "end-of-file" },
];

describe("refuses", () => {
  test.each(refused)("$what ($rule)", async ({ bytes, rule, tensor }) => {
    const path = await files.put("bad.safetensors", bytes);
    const error = await refusalOf(openCheckpoint(path));
    expect(error.details).toEqual({ path, tensor, rule });
    expect(error.message).toContain(path);
    if (tensor !== undefined) expect(error.message).toContain(`"${tensor}"`);
  });

  test("what is not an ordinary file, without waiting for it", async () => {
    const fifo = files.path("fifo.safetensors");
    execFileSync("mkfifo", [fifo]);
    const error = await refusalOf(openCheckpoint(fifo));
    expect(error.details).toEqual({ path: fifo, tensor: undefined, rule: "ordinary-file" });
  });

  test("a file that does not exist, with the system's error", async () => {
    const path = files.path("absent.safetensors");
    const error = await refusalOf(openCheckpoint(path), "ERR_CUDA_IPC_FILE");
    expect(error).toMatchObject({ errno: 2, call: "open", details: { path } });
    expect(error.message).toContain("check the path");
  });

  test.each([undefined, "", 1, "a\0b"])("%j for a path", async (path) => {
    await refusalOf(openCheckpoint(path as string), "ERR_CUDA_IPC_INVALID_ARGUMENT");
  });

  test("when aborted, with the signal's reason", async () => {
    const path = await files.put("good.safetensors", fileBytes({}));
    const reason = new Error("enough");
    await expect(openCheckpoint(path, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const late = new AbortController();
    const opening = openCheckpoint(path, { signal: late.signal });
    late.abort(reason);
    await expect(opening).rejects.toBe(reason);
  });
});

describe("accepts", () => {
  test("no tensors at all", async () => {
    const path = await files.put("none.safetensors", fileBytes("{}"));
    expect((await openCheckpoint(path)).tensors.size).toBe(0);
  });

  test("spaces behind the header, tensors in any order, scalars and empty tensors", async () => {
    const header = `${JSON.stringify({ b: f32(4, 8), none: f32(4, 4, [3, 0]), a: f32(0, 4, []) })}   `;
    const path = await files.put("order.safetensors", fileBytes(header, 8));
    const { tensors, files: opened } = await openCheckpoint(path);
    expect([...tensors.keys()]).toEqual(["a", "none", "b"]);
    expect(tensors.get("b")).toEqual({
      name: "b",
      dtype: "F32",
      shape: [1],
      file: 0,
      fileOffset: opened[0]!.dataStart + 4,
      bytes: 4,
    });
  });

  test("names that objects inherit, and escaped ones", async () => {
    const names = ["", "__proto__", "constructor", "toString", 'a"b\\c\n', "名前", "😀"];
    const fields = names.map((name, i) => `${JSON.stringify(name)}:${JSON.stringify(f32(4 * i, 4 * i + 4))}`);
    const path = await files.put("names.safetensors", fileBytes(`{${fields.join(",")}}`, 4 * names.length));
    const { tensors } = await openCheckpoint(path);
    expect([...tensors.keys()]).toEqual(names);
    expect(tensors.get("__proto__")?.bytes).toBe(4);
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
  });

  test("sub-byte tensors that end at a byte", async () => {
    const header = {
      f4: { dtype: "F4", shape: [3, 2], data_offsets: [0, 3] },
      f6: { dtype: "F6_E3M2", shape: [4], data_offsets: [3, 6] },
    };
    const path = await files.put("sub.safetensors", fileBytes(header, 6));
    expect([...(await openCheckpoint(path)).tensors.values()].map((tensor) => tensor.bytes)).toEqual([3, 3]);
  });

  // Most headers come with the file's first 64 KiB.
  test.each([65_527, 65_528, 65_529, 300_000])("a header of %i bytes", async (length) => {
    const bare = JSON.stringify({ __metadata__: { fill: "" }, w: f32(0, 8) });
    const fill = "abcdefg".repeat(length).slice(0, length - bare.length);
    const header = bare.replace('""', JSON.stringify(fill));
    const path = await files.put("long.safetensors", fileBytes(header, 8));
    const { tensors, metadata, files: opened } = await openCheckpoint(path);
    expect(metadata.get("fill")).toBe(fill);
    expect(tensors.get("w")!.fileOffset).toBe(8 + length);
    expect(opened[0]!.dataStart).toBe(8 + length);
    const short = await files.put("short.safetensors", fileBytes(header).subarray(0, 7 + length));
    expect((await refusalOf(openCheckpoint(short))).details.rule).toBe("header-truncated");
  });

  test("a symbolic link to a file", async () => {
    const target = await files.put("target.safetensors", fileBytes({ w: f32(0, 4) }, 4));
    await symlink(target, files.path("link.safetensors"));
    const { files: opened } = await openCheckpoint(files.path("link.safetensors"));
    expect(opened[0]!.path).toBe(files.path("link.safetensors"));
  });
});
