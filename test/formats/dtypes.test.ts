import { readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import * as dtypes from "../../dist/lib/formats/dtypes.js";
import { decodeBf16, decodeF16 } from "../../dist/lib/formats/half.js";
import { openCheckpoint } from "../../dist/lib/formats/safetensors.js";
import { fixtures } from "./helpers.js";

test("the table has the reference implementation's names, order and sizes", () => {
  expect(dtypes.dtypes.map((dtype) => `${dtype}:${dtypes.bitsPerElement(dtype)}`).join(" ")).toBe(
    "BOOL:8 F4:4 F6_E2M3:6 F6_E3M2:6 U8:8 I8:8 F8_E5M2:8 F8_E4M3:8 F8_E8M0:8 F8_E4M3FNUZ:8 F8_E5M2FNUZ:8 " +
      "I16:16 U16:16 F16:16 BF16:16 I32:32 U32:32 F32:32 C64:64 F64:64 I64:64 U64:64",
  );
});

test("sub-byte dtypes end at a byte", () => {
  for (const dtype of dtypes.dtypes) {
    const multiple = dtypes.elementsPerByteBoundary(dtype);
    for (let count = 1; count <= 8; count++) {
      expect(dtypes.tensorBytes(dtype, [count]) !== undefined).toBe(count % multiple === 0);
    }
  }
});

test("sizes: scalars, empty tensors, overflow", () => {
  expect(dtypes.tensorBytes("F32", [])).toBe(4);
  expect(dtypes.tensorBytes("F32", [0, 2 ** 53 - 1])).toBe(0);
  expect(dtypes.tensorBytes("U8", [2 ** 27, 2 ** 27])).toBeUndefined();
  expect(dtypes.tensorBytes("U8", [2 ** 30, 2 ** 19])).toBe(2 ** 49);
});

describe("host arrays", () => {
  test("every dtype of the fixture becomes its typed array, wherever its bytes lie", async () => {
    const checkpoint = await openCheckpoint(path.join(fixtures, "dtypes/dtypes.safetensors"));
    const content = await readFile(checkpoint.files[0]!.path);
    for (const { dtype, fileOffset, bytes } of checkpoint.tensors.values()) {
      for (const shift of [0, 1]) {
        const moved = new Uint8Array(bytes + 1).subarray(shift, shift + bytes);
        moved.set(content.subarray(fileOffset, fileOffset + bytes));
        const array = dtypes.hostArray(dtype, moved);
        expect(Buffer.from(array.buffer, array.byteOffset, array.byteLength)).toEqual(Buffer.from(moved));
      }
    }
  });

  test("are views where the alignment allows it", () => {
    const bytes = new Uint8Array(8);
    const array = dtypes.hostArray("F32", bytes);
    bytes[3] = 0x40;
    expect(array).toEqual(new Float32Array([2, 0]));
  });

  test("hold whole elements only", () => {
    expect(() => dtypes.hostArray("C64", new Uint8Array(12))).toThrow("multiple of 8");
  });

  test("typed arrays have a dtype, other values do not", () => {
    expect(dtypes.dtypeOfArray(Buffer.alloc(1))).toBe("U8");
    for (const dtype of ["I8", "U16", "I16", "U32", "I32", "F32", "F64", "I64", "U64"] as const) {
      expect(dtypes.dtypeOfArray(dtypes.hostArray(dtype, new Uint8Array(8)))).toBe(dtype);
    }
    expect(dtypes.dtypeOfArray(new DataView(new ArrayBuffer(8)))).toBeUndefined();
    expect(dtypes.dtypeOfArray([1])).toBeUndefined();
  });
});

describe("16-bit floats", () => {
  const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

  test("F16: every finite value is mantissa times power of two", () => {
    const decoded = decodeF16(all);
    for (const bits of all) {
      const sign = bits & 0x8000 ? -1 : 1;
      const exponent = (bits >> 10) & 31;
      const mantissa = bits & 1023;
      if (exponent === 31)
        expect(decoded[bits]).toBe(mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN);
      else
        expect(decoded[bits]).toBe(
          sign * (exponent === 0 ? mantissa : mantissa + 1024) * 2 ** (Math.max(exponent, 1) - 25),
        );
    }
  });

  test("BF16: the upper half of a float32", () => {
    const decoded = decodeBf16(all);
    expect(new Uint32Array(decoded.buffer)).toEqual(Uint32Array.from(all, (bits) => bits * 65536));
    expect(decoded[0x3fc0]).toBe(1.5);
  });
});
