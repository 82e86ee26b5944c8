/** What versions hold, and what a worker must answer from it. Small integers: every sum is exact in f32. */
import { Random } from "./random.js";

/** The weight set that everything turns on, and its matrix. */
export const setName = "model";
export const tensorName = "linear.weight";
export const inputs = 256;
export const outputs = 256;
/** How many different requests there are. */
export const requestKinds = 8;

/** The matrix of a content, row by row. Contents are numbered by whoever has them loaded. */
export function matrixOf(content: number): Float32Array {
  const random = new Random(content);
  return Float32Array.from({ length: inputs * outputs }, () => random.below(9) - 4);
}

/** The vector of a request. */
export function vectorOf(kind: number): Float32Array {
  return Float32Array.from({ length: inputs }, (_, i) => ((i * (kind + 3) + kind) % 7) - 3);
}

const references = new Map<number, Float32Array[]>();

/** What the layer makes of each request's vector. */
export function referenceOf(content: number, kind: number): Float32Array {
  let all = references.get(content);
  if (all === undefined) {
    const matrix = matrixOf(content);
    all = Array.from({ length: requestKinds }, (_, k) => multiply(matrix, vectorOf(k)));
    references.set(content, all);
  }
  return all[kind]!;
}

export function equal(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

function multiply(matrix: Float32Array, vector: Float32Array): Float32Array {
  const result = new Float32Array(outputs);
  for (let row = 0; row < outputs; row++) {
    let sum = 0;
    for (let i = 0; i < inputs; i++) sum += matrix[row * inputs + i]! * vector[i]!;
    result[row] = sum;
  }
  return result;
}
