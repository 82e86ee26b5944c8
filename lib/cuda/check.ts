/** Validation of the raw layer's arguments. Every refusal reads "Expected X for y, but received z of type t". */
import { checkOptions, checkSignal, invalidArgument } from "../errors.js";

/** A size or offset: a safe integer, or a bigint of the same range. */
export type Bytes = number | bigint;

export interface CudaOptions {
  /** The device's ordinal in this process; default 0. */
  device?: number;
  /** Looked at before and after the call; what an aborted call has made is undone. */
  signal?: AbortSignal;
}

/** Refuses misspelled options, and checks the two that all calls share. */
export function readOptions<Options extends CudaOptions>(
  options: Options,
  others: readonly (keyof Options & string)[] = [],
): Options & { device: number } {
  checkOptions(options, ["device", "signal", ...others]);
  const { device = 0 } = options;
  checkSignal(options.signal);
  return { ...options, device: checkDevice(device) };
}

/** The signal of a call that has no other option. */
export function readSignal(options: { signal?: AbortSignal }): AbortSignal | undefined {
  checkOptions(options, ["signal"]);
  return checkSignal(options.signal);
}

export function checkDevice(device: unknown): number {
  return checkInteger("device", device, 0, 0x7fffffff);
}

export function checkInteger(name: string, value: unknown, least: number, most: number): number {
  if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most)
    throw invalidArgument(name, `an integer from ${least} to ${most}`, value);
  return value as number;
}

export function checkBytes(name: string, value: unknown, least = 0): number {
  const number = typeof value === "bigint" ? Number(value) : value;
  if (!Number.isSafeInteger(number) || (number as number) < least)
    throw invalidArgument(name, `a safe integer from ${least}`, value);
  return number as number;
}

export function checkPointer(name: string, value: unknown): bigint {
  if (typeof value !== "bigint" || value < 0n || value > 0xffff_ffff_ffff_ffffn)
    throw invalidArgument(name, "a device pointer (a bigint of 64 bits)", value);
  return value;
}

export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value !== "boolean") throw invalidArgument(name, "a boolean", value);
  return value;
}

export function checkString(name: string, value: unknown): string {
  if (typeof value !== "string" || value === "")
    throw invalidArgument(name, "a string that is not empty", value);
  return value;
}

/** The bytes of a Buffer, typed array or DataView, without a copy. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
