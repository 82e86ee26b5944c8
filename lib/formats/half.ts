/** The 16-bit floats JavaScript has no array for, widened to float32 (which holds all their values exactly). */

import { types } from "node:util";
import { invalidArgument } from "../errors.js";

/** Decodes BF16 bits. Every bit pattern survives, NaN payloads included. */
export function decodeBf16(bits: Uint16Array): Float32Array {
  checkBits(bits);
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return new Float32Array(words.buffer);
}

/** Decodes F16 (IEEE 754 binary16) bits. */
export function decodeF16(bits: Uint16Array): Float32Array {
  checkBits(bits);
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = widenF16(bits[i]!);
  return new Float32Array(words.buffer);
}

function checkBits(bits: unknown): void {
  if (!types.isUint16Array(bits)) throw invalidArgument("bits", "a Uint16Array", bits);
}

function widenF16(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  // A subnormal half is a normal float: move its leading one to where the implicit bit goes.
  const shift = Math.clz32(mantissa) - 21;
  return sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13);
}
