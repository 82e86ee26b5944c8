/** What the layer must answer, computed on the CPU from the bytes of the file. */
import { open } from "node:fs/promises";
import { decodeBf16, decodeF16 } from "../../lib/index.js";
import type { LayerFile, WeightDtype } from "./layer-file.js";

export interface Reference {
  x: Float32Array;
  /** In f64. */
  y: Float64Array;
  /** How far each output may be off: 0 where f32 has no rounding to do. */
  tolerance: Float64Array;
}

export interface References {
  all: Reference[];
  /** Whether every output must be exact. */
  exact: boolean;
}

/** Vectors of small integers. */
export function makeInputs(count: number, length: number): Float32Array[] {
  return Array.from({ length: count }, (_, k) =>
    Float32Array.from({ length }, (_, i) => ((i * (k + 3) + k) % 7) - 3),
  );
}

/** Streams the file: memory in use does not depend on its size. */
export async function computeReferences(
  layer: LayerFile,
  inputs: readonly Float32Array[],
): Promise<References> {
  const all = inputs.map((x) => ({
    x,
    y: new Float64Array(layer.outputs),
    tolerance: new Float64Array(layer.outputs),
  }));
  const largest = inputs.map((x) => x.reduce((most, value) => Math.max(most, Math.abs(value)), 0));
  let exact = true;
  let row = 0;
  for await (const weights of rowsOf(layer)) {
    for (let at = 0; at < weights.length; at += layer.inputs, row++) {
      const { sum, integers } = magnitude(weights, at, layer.inputs);
      all.forEach(({ x, y, tolerance }, k) => {
        y[row] = dot(weights, at, x);
        tolerance[row] = roundingBound(layer.inputs, sum * largest[k]!, integers);
        exact &&= tolerance[row] === 0;
      });
    }
  }
  return { all, exact };
}

/** How many outputs are wrong. */
export function countWrong({ y, tolerance }: Reference, answer: Float32Array): number {
  if (answer.length !== y.length) return Math.max(1, y.length);
  let wrong = 0;
  for (let i = 0; i < y.length; i++) {
    const off = Math.abs(answer[i]! - y[i]!);
    if (!(off <= tolerance[i]!) && !(Number.isNaN(answer[i]) && Number.isNaN(y[i]))) wrong++;
  }
  return wrong;
}

/**
 * The error that f32 may make in `count` multiply-adds of this total magnitude, whatever their order (Higham,
 * Accuracy and Stability of Numerical Algorithms, 3.1). None for integers whose sums all fit the mantissa.
 */
function roundingBound(count: number, total: number, integers: boolean): number {
  if (integers && total < 2 ** 24) return 0;
  const unit = count * 2 ** -24;
  const factor = unit < 1 ? unit / (1 - unit) : Number.POSITIVE_INFINITY;
  const underflow = count * 2 ** -149;
  return factor * total + underflow;
}

function magnitude(weights: Float32Array, at: number, count: number): { sum: number; integers: boolean } {
  let sum = 0;
  let integers = true;
  for (let i = at; i < at + count; i++) {
    const weight = weights[i]!;
    sum += Math.abs(weight);
    if (Math.trunc(weight) !== weight) integers = false;
  }
  return { sum, integers };
}

function dot(weights: Float32Array, at: number, x: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += weights[at + i]! * x[i]!;
  return sum;
}

/** The layer's rows, several at a time, widened to f32. */
async function* rowsOf({ path, offset, dtype, inputs, outputs }: LayerFile): AsyncGenerator<Float32Array> {
  const rowBytes = inputs * (dtype === "F32" ? 4 : 2);
  const rowsAtOnce = Math.max(1, Math.floor((8 << 20) / rowBytes));
  const handle = await open(path);
  try {
    for (let row = 0; row < outputs; row += rowsAtOnce) {
      const bytes = rowBytes * Math.min(rowsAtOnce, outputs - row);
      yield widen(dtype, await readFully(handle, bytes, offset + row * rowBytes));
    }
  } finally {
    await handle.close();
  }
}

async function readFully(
  handle: Awaited<ReturnType<typeof open>>,
  bytes: number,
  position: number,
): Promise<ArrayBuffer> {
  const buffer = new ArrayBuffer(bytes);
  for (let filled = 0; filled < bytes; ) {
    const { bytesRead } = await handle.read(new Uint8Array(buffer, filled), { position: position + filled });
    if (bytesRead === 0) throw new Error("The model file became shorter while it was read.");
    filled += bytesRead;
  }
  return buffer;
}

function widen(dtype: WeightDtype, bytes: ArrayBuffer): Float32Array {
  if (dtype === "F32") return new Float32Array(bytes);
  return dtype === "F16" ? decodeF16(new Uint16Array(bytes)) : decodeBf16(new Uint16Array(bytes));
}
