import { promises } from "node:fs";
import { mkdir, readFile, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { assertUnchanged, openCheckpoint } from "../../dist/lib/formats/safetensors.js";
import { fileBytes, fixtures, refusalOf, scratch } from "./helpers.js";

const files = scratch();
const indexName = "model.safetensors.index.json";
const tensor = (bytes: number) => ({ dtype: "U8", shape: [bytes], data_offsets: [0, bytes] });
let folder: string;
let index: string;

/** Two shards, each with one tensor. */
beforeEach(async () => {
  folder = files.path("model");
  index = path.join(folder, indexName);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  await writeFile(
    path.join(folder, "1.safetensors"),
    fileBytes({ __metadata__: { from: "1" }, a: tensor(8) }, 8),
  );
  await writeFile(
    path.join(folder, "2.safetensors"),
    fileBytes({ __metadata__: { from: "2", only: "2" }, b: tensor(16) }, 16),
  );
  await writeIndex({ b: "2.safetensors", a: "1.safetensors" });
});

async function writeIndex(weightMap: object, metadata: object = { total_size: 24 }): Promise<void> {
  await writeFile(index, JSON.stringify({ metadata, weight_map: weightMap }));
}

async function ruleOf(location: string): Promise<Record<string, unknown>> {
  return (await refusalOf(openCheckpoint(location))).details;
}

describe("a folder", () => {
  test("is read through its index; shards in the order of their names", async () => {
    const { files: opened, tensors, metadata, warnings } = await openCheckpoint(folder);
    expect(opened.map((file) => path.basename(file.path))).toEqual(["1.safetensors", "2.safetensors"]);
    expect([...tensors.values()].map(({ name, file }) => [name, file])).toEqual([
      ["a", 0],
      ["b", 1],
    ]);
    expect(Object.fromEntries(metadata)).toEqual({ from: "1", only: "2" });
    expect(warnings).toEqual([]);
  });

  test("with model.safetensors is that file, index or not", async () => {
    await writeFile(path.join(folder, "model.safetensors"), fileBytes({ single: tensor(1) }, 1));
    expect([...(await openCheckpoint(folder)).tensors.keys()]).toEqual(["single"]);
  });

  test("is one whatever its name ends in", async () => {
    for (const name of ["model.json", "model.safetensors"]) {
      const named = files.path(name);
      await rename(folder, named);
      expect((await openCheckpoint(named)).files).toHaveLength(2);
      await rename(named, folder);
    }
  });

  test("in the place of a shard is no checkpoint", async () => {
    await rm(path.join(folder, "2.safetensors"));
    await mkdir(path.join(folder, "2.safetensors"));
    await writeFile(
      path.join(folder, "2.safetensors", "model.safetensors"),
      fileBytes({ b: tensor(16) }, 16),
    );
    expect(await ruleOf(folder)).toMatchObject({
      path: path.join(folder, "2.safetensors"),
      rule: "ordinary-file",
    });
  });

  test("with neither is refused", async () => {
    await rm(index);
    expect(await ruleOf(folder)).toEqual({ path: folder, tensor: undefined, rule: "no-checkpoint" });
  });

  test("of links, as model caches make it, is read", async () => {
    const cache = files.path("cache");
    await mkdir(cache);
    for (const name of ["1.safetensors", "2.safetensors", indexName]) {
      await symlink(path.join(folder, name), path.join(cache, name));
    }
    expect((await openCheckpoint(cache)).tensors.size).toBe(2);
  });
});

describe("an index is refused", () => {
  test.each([
    ["no JSON", "{", "json"],
    ["an array", "[]", "json"],
    ["no weight_map", "{}", "index"],
    ["an empty weight_map", '{"weight_map":{}}', "index"],
    ["a weight_map that is a list", '{"weight_map":[]}', "index"],
  ])("for %s", async (_what, text, rule) => {
    await writeFile(index, text);
    expect(await ruleOf(index)).toMatchObject({ path: index, rule });
  });

  test.each([
    ['{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}', "a"],
    ['{"weight_map":{"a":"1.safetensors","b":{"c":1,"c":2}}}', "b"],
    ['{"weight_map":{"a":"1.safetensors"},"weight_map":{}}', undefined],
    ['{"metadata":{"total_size":1,"total_size":2}}', undefined],
  ])("for a duplicate key in %s, by the tensor it is about", async (text, tensor) => {
    await writeFile(index, text);
    expect(await ruleOf(index)).toEqual({ path: index, tensor, rule: "duplicate-key" });
  });

  test.each([
    "../model/1.safetensors/../../x",
    "../1.safetensors",
    "/etc/passwd",
    "",
    ".",
    "a/../..",
    "a\0",
    1,
    null,
  ])("for the file name %j", async (name) => {
    await writeIndex({ a: name });
    expect(await ruleOf(index)).toEqual({ path: index, tensor: "a", rule: "shard-path" });
  });

  test("for a shard that is missing, which is named with its first tensor", async () => {
    await rm(path.join(folder, "2.safetensors"));
    await writeIndex({ a: "1.safetensors", b: "2.safetensors", c: "2.safetensors" });
    const error = await refusalOf(openCheckpoint(folder));
    expect(error.details).toEqual({ path: index, tensor: "b", rule: "shard-missing" });
    expect(error.message).toContain("2.safetensors");
  });

  test("for a tensor that its shard lacks", async () => {
    await writeIndex({ a: "1.safetensors", b: "2.safetensors", c: "2.safetensors" });
    expect(await ruleOf(index)).toEqual({ path: index, tensor: "c", rule: "tensor-missing" });
  });

  test("for a tensor that is in another shard", async () => {
    await writeIndex({ a: "1.safetensors", b: "1.safetensors", c: "2.safetensors" });
    const shard = path.join(folder, "2.safetensors");
    expect(await ruleOf(index)).toEqual({ path: shard, tensor: "b", rule: "wrong-shard" });
  });

  test("for a tensor that two shards hold and it does not name", async () => {
    for (const name of ["1", "2"]) {
      const header = { [name]: tensor(1), both: { ...tensor(1), data_offsets: [1, 2] } };
      await writeFile(path.join(folder, `${name}.safetensors`), fileBytes(header, 2));
    }
    await writeIndex({ 1: "1.safetensors", 2: "2.safetensors" });
    const shard = path.join(folder, "2.safetensors");
    expect(await ruleOf(index)).toEqual({ path: shard, tensor: "both", rule: "duplicate-tensor" });
  });

  test("for a shard that breaks the format, which is named", async () => {
    const shard = path.join(folder, "2.safetensors");
    await writeFile(shard, fileBytes({ b: tensor(16) }, 15));
    expect(await ruleOf(index)).toEqual({ path: shard, tensor: "b", rule: "end-of-file" });
  });
});

describe("an index is read with a warning", () => {
  test.each([[{ total_size: 25 }], [{ total_size: 24.5 }]])("for %j", async (metadata) => {
    await writeIndex({ a: "1.safetensors", b: "2.safetensors" }, metadata);
    expect((await openCheckpoint(folder)).warnings).toEqual([expect.stringContaining("total_size")]);
  });

  test("for a tensor that it does not name, which is loaded as other loaders do", async () => {
    await writeFile(
      path.join(folder, "2.safetensors"),
      fileBytes({ b: tensor(16), c: { ...tensor(1), data_offsets: [16, 17] } }, 17),
    );
    await writeIndex({ a: "1.safetensors", b: "2.safetensors" }, {});
    const { tensors, warnings } = await openCheckpoint(folder);
    expect([...tensors.keys()]).toEqual(["a", "b", "c"]);
    expect(warnings).toEqual([expect.stringContaining('first "c"')]);
  });
});

describe("the content key", () => {
  const keyOf = async (location: string) => (await openCheckpoint(location)).contentKey;

  test("is the same for the same files, however they are named", async () => {
    const key = await keyOf(folder);
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(await keyOf(index)).toBe(key);
    expect(await keyOf(path.relative(process.cwd(), folder))).toBe(key);
  });

  test("changes with a file's time, its size and its replacement", async () => {
    const shard = path.join(folder, "1.safetensors");
    const keys = [await keyOf(folder)];
    await utimes(shard, 1, 1);
    keys.push(await keyOf(folder));
    await writeFile(shard, fileBytes({ a: tensor(9) }, 9));
    await utimes(shard, 1, 1);
    keys.push(await keyOf(folder));
    // The new file may well get the old one's inode, and has its size and time.
    await rm(shard);
    await writeFile(shard, fileBytes({ a: tensor(9) }, 9));
    await utimes(shard, 1, 1);
    keys.push(await keyOf(folder));
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe("after the load", () => {
  const changed: [string, (file: string) => Promise<unknown>, object][] = [
    ["its time", (file) => utimes(file, 1, 1), { rule: "changed" }],
    ["its bytes", (file) => writeFile(file, fileBytes({ b: tensor(16) }, 16)), { rule: "changed" }],
    [
      "a folder in its place",
      async (file) => {
        await rm(file);
        await mkdir(file);
      },
      { rule: "ordinary-file" },
    ],
  ];

  test("the files are what they were", async () => {
    await assertUnchanged(await openCheckpoint(folder));
  });

  test.each(changed)("a file is refused for %s, whichever it is", async (_, change, expected) => {
    for (const name of ["1.safetensors", "2.safetensors"]) {
      const before = await readFile(path.join(folder, name));
      const checkpoint = await openCheckpoint(folder);
      const shard = path.join(folder, name);
      await change(shard);
      const error = await assertUnchanged(checkpoint).catch((error) => error);
      expect(error.details).toMatchObject({ path: shard, ...expected });
      await rm(shard, { recursive: true });
      await writeFile(shard, before);
    }
  });

  test("a file that is gone is refused with the system's error, an abort with its reason", async () => {
    const checkpoint = await openCheckpoint(folder);
    await rm(path.join(folder, "2.safetensors"));
    const error = await refusalOf(assertUnchanged(checkpoint), "ERR_CUDA_IPC_FILE");
    expect(error).toMatchObject({ errno: 2, call: "open" });
    const reason = new Error("enough");
    const aborted = assertUnchanged(checkpoint, { signal: AbortSignal.abort(reason) });
    await expect(aborted).rejects.toBe(reason);
  });
});

describe("no descriptor is left when it is known", () => {
  let open = 0;

  beforeEach(() => {
    const original = promises.open;
    vi.spyOn(promises, "open").mockImplementation(async (...args) => {
      const handle = await original(...args);
      open++;
      const close = handle.close.bind(handle);
      handle.close = async () => {
        await new Promise(setImmediate);
        await close();
        open--;
      };
      return handle;
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  test("what the files hold, that they are broken, or that they were changed", async () => {
    const checkpoint = await openCheckpoint(folder);
    expect(open).toBe(0);
    await assertUnchanged(checkpoint);
    expect(open).toBe(0);
    await utimes(path.join(folder, "1.safetensors"), 1, 1);
    await refusalOf(assertUnchanged(checkpoint), "ERR_CUDA_IPC_FILE_CHANGED");
    expect(open).toBe(0);
    await writeFile(path.join(folder, "1.safetensors"), fileBytes({ a: tensor(9) }, 8));
    await refusalOf(openCheckpoint(folder));
    expect(open).toBe(0);
    expect(promises.open).toHaveBeenCalledTimes(11);
  });
});

test("the real sharded and single checkpoints hold the same tensors", async () => {
  const [single, sharded] = await Promise.all(
    ["llama-single", "llama-sharded"].map((name) => openCheckpoint(path.join(fixtures, name))),
  );
  expect([...sharded!.tensors.keys()].sort()).toEqual([...single!.tensors.keys()].sort());
});
