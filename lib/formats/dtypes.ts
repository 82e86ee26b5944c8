import { types } from "node:util";
import { invalidArgument } from "../errors.js";

export type HostArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float32Array
  | Float64Array;

interface HostArrayConstructor {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): HostArray;
}

/**
 * Every dtype of the format: bits per element, and the typed array that holds it on the host. Where JavaScript
 * has no such number, the array holds the raw bits; C64 is held as pairs of real and imaginary part. In the
 * order of the reference implementation, ascending by alignment: its writer sorts tensors by it, descending.
 */
const table = {
  BOOL: [8, Uint8Array],
  F4: [4, Uint8Array],
  F6_E2M3: [6, Uint8Array],
  F6_E3M2: [6, Uint8Array],
  U8: [8, Uint8Array],
  I8: [8, Int8Array],
  F8_E5M2: [8, Uint8Array],
  F8_E4M3: [8, Uint8Array],
  F8_E8M0: [8, Uint8Array],
  F8_E4M3FNUZ: [8, Uint8Array],
  F8_E5M2FNUZ: [8, Uint8Array],
  I16: [16, Int16Array],
  U16: [16, Uint16Array],
  F16: [16, Uint16Array],
  BF16: [16, Uint16Array],
  I32: [32, Int32Array],
  U32: [32, Uint32Array],
  F32: [32, Float32Array],
  C64: [64, Float32Array],
  F64: [64, Float64Array],
  I64: [64, BigInt64Array],
  U64: [64, BigUint64Array],
} as const satisfies Record<string, readonly [bits: number, array: HostArrayConstructor]>;

export type Dtype = keyof typeof table;

export const dtypes: readonly Dtype[] = Object.freeze(Object.keys(table) as Dtype[]);

const ranks = new Map<string, number>(dtypes.map((dtype, rank) => [dtype, rank]));

export function isDtype(name: unknown): name is Dtype {
  return typeof name === "string" && ranks.has(name);
}

/** The position in the reference implementation's order. */
export function dtypeRank(dtype: Dtype): number {
  return ranks.get(dtype)!;
}

export function bitsPerElement(dtype: Dtype): number {
  return table[dtype][0];
}

/**
 * A sub-byte tensor must end at a byte: its number of elements is a multiple of this (F4: 2, F6: 4). There is
 * no padding within a tensor. 1 for all other dtypes.
 */
export function elementsPerByteBoundary(dtype: Dtype): number {
  const bits = bitsPerElement(dtype);
  return bits === 4 ? 2 : bits === 6 ? 4 : 1;
}

/** The product of the dimensions (1 for a scalar); undefined when it is not a safe integer. */
export function elementCount(shape: readonly number[]): number | undefined {
  let count = 1;
  for (const dimension of shape) {
    count *= dimension;
    if (count > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return count;
}

/** Bytes of a tensor; undefined when that overflows or is not a whole number of bytes. */
export function tensorBytes(dtype: Dtype, shape: readonly number[]): number | undefined {
  const count = elementCount(shape);
  if (count === undefined) return undefined;
  const bits = count * bitsPerElement(dtype);
  return bits <= Number.MAX_SAFE_INTEGER && bits % 8 === 0 ? bits / 8 : undefined;
}

/** The dtype that a typed array holds by itself, of whichever realm it is. Buffers are U8; undefined for other views. */
export function dtypeOfArray(array: unknown): Dtype | undefined {
  if (types.isUint8Array(array) || types.isUint8ClampedArray(array)) return "U8";
  if (types.isInt8Array(array)) return "I8";
  if (types.isUint16Array(array)) return "U16";
  if (types.isInt16Array(array)) return "I16";
  if (types.isUint32Array(array)) return "U32";
  if (types.isInt32Array(array)) return "I32";
  if (types.isBigUint64Array(array)) return "U64";
  if (types.isBigInt64Array(array)) return "I64";
  if (types.isFloat32Array(array)) return "F32";
  if (types.isFloat64Array(array)) return "F64";
  return undefined;
}

/** The bytes of a tensor as the typed array of its dtype: a view where the alignment allows it, else a copy. */
export function hostArray(dtype: Dtype, bytes: Uint8Array): HostArray {
  const array: HostArrayConstructor = table[dtype][1];
  const unit = Math.max(array.BYTES_PER_ELEMENT, bitsPerElement(dtype) / 8);
  if (bytes.byteLength % unit !== 0) {
    throw invalidArgument("bytes", `a multiple of ${unit} bytes of ${dtype}`, bytes.byteLength);
  }
  const aligned = bytes.byteOffset % array.BYTES_PER_ELEMENT === 0 ? bytes : Uint8Array.from(bytes);
  return new array(aligned.buffer, aligned.byteOffset, aligned.byteLength / array.BYTES_PER_ELEMENT);
}
