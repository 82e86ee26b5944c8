// Nothing that an owner says of its tensors is taken for granted.
import { expect, test } from "vitest";
import { checkManifest } from "../../dist/lib/sharing/manifest.js";
import { packTensors } from "../../dist/lib/wire/manifest.js";

const slabs = [{ bytes: 4096 }, { bytes: 512 }];
const good = () => ({
  names: ["a", "", "__proto__"] as unknown[],
  dtypes: ["F32", "F4", "U8"] as unknown[],
  shapes: [[4, 8], [2], []] as unknown[],
  slabs: [0, 1, 1] as unknown[],
  offsets: [0, 0, 511] as unknown[],
  bytes: [128, 1, 1] as unknown[],
});

test("what fits is taken as it is", () => {
  const entries = [...checkManifest(good(), slabs).values()];
  expect(packTensors(entries)).toEqual(good());
});

const refusals: [column: keyof ReturnType<typeof good>, value: unknown, why: string][] = [
  ["names", 7, "has no name, but 7"],
  ["names", null, "has no name, but null"],
  ["names", "", "its name is there twice"],
  ["dtypes", "F33", 'its dtype "F33" is not known'],
  ["dtypes", null, "its dtype null is not known"],
  ["dtypes", ["F32"], 'its dtype ["F32"] is not known'],
  ["shapes", 32, "its shape 32 is not a list"],
  ["shapes", [-4, -8], "its shape [-4,-8] is not a list"],
  ["shapes", ["4", 8], 'its shape ["4",8] is not a list'],
  ["shapes", [1.5, 8], "its shape [1.5,8] is not a list"],
  ["shapes", [2 ** 53, 1], "is not a list"],
  ["shapes", [4, 9], "its 128 bytes do not fit"],
  ["shapes", [2 ** 52, 2 ** 52], "its 128 bytes do not fit"],
  ["bytes", 127, "its 127 bytes do not fit"],
  ["bytes", "128", 'its "128" bytes do not fit'],
  ["bytes", null, "its null bytes do not fit"],
  ["slabs", 2, "there is no slab 2"],
  ["slabs", -1, "there is no slab -1"],
  ["slabs", "0", 'there is no slab "0"'],
  ["slabs", "length", 'there is no slab "length"'],
  ["offsets", -4, "its offset -4 is not"],
  ["offsets", 0.5, "its offset 0.5 is not"],
  ["offsets", Number.NaN, "its offset null is not"],
  ["offsets", "0", 'its offset "0" is not'],
  ["offsets", 3969, "it ends 1 bytes behind its slab"],
  ["offsets", Number.MAX_SAFE_INTEGER, "bytes behind its slab"],
];

test.each(refusals)("%s: %j is refused, because %s", (column, value, why) => {
  const columns = good();
  columns[column][0] = value;
  expect(() => checkManifest(columns, slabs)).toThrow(
    expect.objectContaining({ code: "ERR_CUDA_IPC_PROTOCOL", message: expect.stringContaining(why) }),
  );
});

test.each(["dtypes", "shapes", "slabs", "offsets", "bytes"] as const)(
  "a column of other length: %s",
  (column) => {
    for (const change of [(list: unknown[]) => list.pop(), (list: unknown[]) => list.push(list[0])]) {
      const columns = good();
      change(columns[column]);
      expect(() => checkManifest(columns, slabs)).toThrow("its columns differ in length");
    }
  },
);
