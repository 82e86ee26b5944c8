// The list of tensors that an owner hands out: nothing in it is taken for granted.
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { bitsPerElement, dtypes } from "../../dist/lib/formats/dtypes.js";
import { type NativeFd, native } from "../../dist/lib/native.js";
import { TensorList } from "../../dist/lib/sharing/tensor-list.js";
import type { ManifestTensor } from "../../dist/lib/wire/manifest.js";
import { encodeManifest } from "../../dist/lib/wire/manifest-file.js";

const slabs = [4096, 512];
const tensors: readonly ManifestTensor[] = [
  { name: "b", dtype: "F32", shape: [4, 8], slab: 0, offset: 0, bytes: 128 },
  { name: "", dtype: "F4", shape: [2], slab: 1, offset: 0, bytes: 1 },
  { name: "__proto__", dtype: "U8", shape: [], slab: 1, offset: 511, bytes: 1 },
  { name: "\u{1f600} é", dtype: "BF16", shape: [3, 0, 7], slab: 0, offset: 4096, bytes: 0 },
  { name: "a", dtype: "I64", shape: [1, 1, 1, 2], slab: 0, offset: 256, bytes: 16 },
];

function openBytes(content: Uint8Array, sizes: readonly number[] = slabs) {
  const file = native.createSealedMemfd("test", content);
  try {
    return new TensorList(native.openManifest(file, sizes));
  } finally {
    file.close();
  }
}

const open = (changed: readonly ManifestTensor[], sizes?: readonly number[]) =>
  openBytes(encodeManifest(changed), sizes);

const broken = (why: string, details: object = {}) =>
  expect.objectContaining({
    code: "ERR_CUDA_IPC_PROTOCOL",
    message: expect.stringMatching(new RegExp(`^The owner's manifest is broken: .*${why}.*\\.$`)),
    details,
  });

test("what fits is found, in its order and by its names", () => {
  const manifest = open(tensors);
  expect(manifest.size).toBe(5);
  expect(manifest.names()).toEqual(tensors.map(({ name }) => name));
  expect(manifest.all()).toEqual(tensors);
  for (const tensor of tensors) {
    expect(manifest.get(tensor.name)).toEqual(tensor);
    expect(manifest.has(tensor.name)).toBe(true);
  }
  for (const name of ["c", "B", "b ", "\u{1f600}", "constructor", "\ud83d", 7 as never, undefined as never]) {
    expect(manifest.get(name)).toBeUndefined();
    expect(manifest.has(name)).toBe(false);
  }
});

test("there may be no tensor at all", () => {
  expect(open([]).all()).toEqual([]);
  expect(open([]).get("")).toBeUndefined();
});

test.each(dtypes)("%s has its size", (dtype) => {
  const bytes = (24 * bitsPerElement(dtype)) / 8;
  const tensor = { name: "a", dtype, shape: [2, 3, 4], slab: 0, offset: 0, bytes };
  expect(open([tensor]).get("a")).toEqual(tensor);
  expect(() => open([{ ...tensor, bytes: bytes + 1 }])).toThrow(
    broken("do not fit its dtype", { tensor: "a" }),
  );
});

test("any list of tensors is what it was", () => {
  const some = fc.uniqueArray(
    fc.record({
      name: fc.string({ unit: "binary" }).filter((name) => !/\p{Surrogate}/u.test(name)),
      dtype: fc.constant("U8"),
      shape: fc.array(fc.nat(9), { maxLength: 4 }),
      slab: fc.nat(1),
      offset: fc.nat(Number.MAX_SAFE_INTEGER - 6561),
    }),
    { selector: ({ name }) => name, maxLength: 40 },
  );
  fc.assert(
    fc.property(some, fc.string(), (list, other) => {
      const all = list.map((tensor) => ({ ...tensor, bytes: tensor.shape.reduce((a, b) => a * b, 1) }));
      const manifest = open(all, [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]);
      expect(manifest.all()).toEqual(all);
      for (const tensor of all) expect(manifest.get(tensor.name)).toEqual(tensor);
      expect(manifest.has(other)).toBe(all.some(({ name }) => name === other));
    }),
  );
});

describe("is refused", () => {
  const refusals: [change: Partial<ManifestTensor>, why: string][] = [
    [{ dtype: "F33" }, 'its dtype "F33" is not known'],
    [{ dtype: "F" }, 'its dtype "F" is not known'],
    [{ dtype: "" }, 'its dtype "" is not known'],
    [{ shape: [4, 9] }, "its 128 bytes do not fit"],
    [{ shape: [2 ** 52, 2 ** 52] }, "its 128 bytes do not fit"],
    [{ shape: [2 ** 52, 2 ** 52, 0], bytes: 0 }, "its 0 bytes do not fit"],
    [{ shape: [2 ** 40, 2 ** 40], bytes: 0 }, "its 0 bytes do not fit"],
    [{ dtype: "F4", shape: [3], bytes: 1 }, "its 1 bytes do not fit"],
    [{ bytes: 127 }, "its 127 bytes do not fit"],
    [{ slab: 2 }, "there is no slab 2"],
    [{ slab: 2 ** 32 - 1 }, "there is no slab 4294967295"],
    [{ offset: 3969 }, "it ends behind its slab"],
    [{ offset: Number.MAX_SAFE_INTEGER }, "it ends behind its slab"],
  ];

  test.each(refusals)("a tensor with %j, because %s", (change, why) => {
    const changed = [{ ...tensors[0]!, ...change }, ...tensors.slice(1)];
    expect(() => open(changed)).toThrow(broken(`tensor "b": ${why}`, { tensor: "b" }));
  });

  test("a name that is there twice", () => {
    expect(() => open([tensors[0]!, tensors[4]!, tensors[0]!])).toThrow(
      broken('tensor "b": its name is there twice', { tensor: "b" }),
    );
  });

  const numbers: [what: string, at: number, value: number, why: string][] = [
    ["more tensors", 8, 6, "do not fit its header"],
    ["fewer tensors", 8, 4, "do not fit its header"],
    ["the most tensors", 8, 2 ** 32 - 1, "do not fit its header"],
    ["other dimensions", 16, 9, "do not fit its header"],
    ["the most dimensions", 20, 2 ** 32 - 1, "do not fit its header"],
    ["other names", 24, 0, "do not fit its header"],
    ["the most names", 28, 2 ** 32 - 1, "do not fit its header"],
    ["a name that is elsewhere", 32 + 16, 1, "the name of tensor 0 is not behind"],
    ["a name beyond the names", 32 + 20, 2 ** 32 - 1, "the name of tensor 0 goes beyond"],
    ["names that leave some", 32 + 4 * 48 + 20, 0, "a part of it is no tensor's"],
    ["a shape that is elsewhere", 32 + 24, 1, "the shape or the name of tensor 0 is not behind"],
    ["a shape beyond the shapes", 32 + 28, 2 ** 32 - 1, "goes beyond"],
    ["an order that leaves one out", 32 + 5 * 48, 4, "its name is there twice|stands out of order"],
    ["an order of what is not there", 32 + 5 * 48, 5, "there is no tensor 5"],
    ["another order", 32 + 5 * 48, 0, "stands out of order|is there twice"],
    ["bytes that JavaScript cannot count", 32 + 12, 2 ** 32 - 1, "bytes do not fit"],
    ["something in the header", 12, 1, "something where zeros must be"],
    ["something behind the order", 32 + 5 * 52, 1, "something where zeros must be"],
    ["something behind a dtype", 32 + 40, 1, "something behind its dtype"],
    ["an offset that it cannot", 32 + 4, 2 ** 32 - 1, "ends behind its slab"],
  ];

  test.each(numbers)("%s", (_, at, value, why) => {
    const content = encodeManifest(tensors);
    content.writeUInt32LE(value, at);
    let error: unknown;
    try {
      openBytes(content);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: "ERR_CUDA_IPC_PROTOCOL" });
    expect((error as Error).message).toMatch(new RegExp(why));
  });

  test("a name that is no UTF-8", () => {
    const content = encodeManifest(tensors);
    const at = content.length - 1;
    expect(openBytes(content).names().at(-1)).toBe("a");
    for (const byte of [0x80, 0xc3, 0xed, 0xff]) {
      content[at] = byte;
      expect(() => openBytes(content)).toThrow(broken("its name is not UTF-8", { tensor: "" }));
    }
    const named = (name: string) => encodeManifest([{ ...tensors[0]!, name }]);
    for (const [from, to] of [
      ["\u00e9", [0xc0, 0x80]],
      ["\u20ac", [0xe0, 0x80, 0x80]],
      ["\u20ac", [0xed, 0xa0, 0x80]],
      ["\u{1f600}", [0xf0, 0x80, 0x80, 0x80]],
      ["\u{1f600}", [0xf4, 0x90, 0x80, 0x80]],
      ["\u{1f600}", [0xf5, 0x80, 0x80, 0x80]],
    ] as [string, number[]][]) {
      const wrong = named(`12345678${from}`);
      expect(openBytes(wrong).has(`12345678${from}`)).toBe(true);
      wrong.set(to, wrong.length - to.length);
      expect(() => openBytes(wrong)).toThrow(broken("its name is not UTF-8", { tensor: "" }));
    }
  });

  test("a file of another length, or another kind", () => {
    const content = encodeManifest(tensors);
    for (let length = 0; length < content.length; length++) {
      expect(() => openBytes(content.subarray(0, length))).toThrow(broken(""));
    }
    expect(() => openBytes(Buffer.concat([content, Buffer.alloc(1)]))).toThrow(
      broken("do not fit its header"),
    );
    content.write("tensors2", "latin1");
    expect(() => openBytes(content)).toThrow(broken("another kind"));
  });

  test("any change, or it harms nobody", () => {
    const content = encodeManifest(tensors);
    fc.assert(
      fc.property(fc.nat(content.length - 1), fc.nat(255), (at, byte) => {
        const changed = Buffer.from(content);
        changed[at] = byte;
        try {
          const manifest = openBytes(changed);
          for (const { name, slab, offset, bytes } of manifest.all()) {
            expect(manifest.has(name)).toBe(true);
            expect(offset + bytes).toBeLessThanOrEqual(slabs[slab]!);
          }
        } catch (error) {
          expect(error).toMatchObject({ code: "ERR_CUDA_IPC_PROTOCOL" });
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("what is not sealed, and what is no file in memory: it is not even read", () => {
    const keep = (file: NativeFd) => {
      onTestFinished(() => file.close());
      return file;
    };
    const notSealed = keep(native.createMemfd("test", 64));
    const [channel, socket] = native.socketPair();
    onTestFinished(() => channel.close());
    for (const file of [notSealed, keep(socket)]) {
      expect(() => native.openManifest(file, slabs)).toThrow(broken("not a sealed file in memory"));
    }
  });
});

test("arguments that are none are refused", () => {
  const file = native.createSealedMemfd("test", encodeManifest(tensors));
  onTestFinished(() => file.close());
  const content = native.openManifest(file, slabs);
  const invalid = expect.objectContaining({ code: "ERR_CUDA_IPC_INVALID_ARGUMENT" });
  expect(() => native.findTensor(content, 7 as never)).toThrow(invalid);
  expect(() => native.findTensor(Buffer.from(content) as never, "a")).toThrow(invalid);
  for (const sizes of [undefined, [-1], ["1"], [{}]]) {
    expect(() => native.openManifest(file, sizes as never)).toThrow(invalid);
  }
  expect(() => native.openManifest({} as NativeFd, slabs)).toThrow(invalid);
});

test("a search in what has not been checked harms nobody", () => {
  const content = encodeManifest(tensors);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(content.length - 1), fc.nat(255))), (changes) => {
      const changed = new Uint8Array(content);
      for (const [at, byte] of changes) changed[at] = byte;
      try {
        native.findTensor(changed.buffer as ArrayBuffer, "a");
      } catch (error) {
        expect(error).toMatchObject({ code: "ERR_CUDA_IPC_PROTOCOL" });
      }
    }),
    { numRuns: 2000 },
  );
  expect(() => native.findTensor(new ArrayBuffer(0), "a")).toThrow(broken("it has no header"));
});
