/** Device memory by plain pointers, as in CUDA: nothing frees it but `cudaFree` and the end of the process. */
import { native, type PointerFacts } from "../native.js";
import { abortable } from "./abortable.js";
import {
  type Bytes,
  type CudaOptions,
  checkBytes,
  checkInteger,
  checkPointer,
  readOptions,
} from "./check.js";
import { checkStream, type Stream } from "./stream.js";

/** Allocates device memory; its content is undefined. */
export async function cudaMalloc(bytes: Bytes, options: CudaOptions = {}): Promise<bigint> {
  const size = checkBytes("bytes", bytes, 1);
  const { device, signal } = readOptions(options);
  return abortable(
    signal,
    () => native.memAlloc(device, size),
    (pointer) => native.memFree(device, pointer),
  );
}

/** Frees what `cudaMalloc` returned; 0n does nothing. Waits for the device's work that may use it. */
export async function cudaFree(pointer: bigint, options: CudaOptions = {}): Promise<void> {
  checkPointer("pointer", pointer);
  const { device, signal } = readOptions(options);
  await abortable(signal, () => native.memFree(device, pointer));
}

export interface AsyncOptions {
  stream: Stream;
  signal?: AbortSignal;
}

type Width = 1 | 2 | 4;

async function set(
  pointer: bigint,
  value: number,
  width: Width,
  count: Bytes,
  options: CudaOptions & { stream?: Stream },
): Promise<void> {
  const { device, signal, stream } = readOptions(options, ["stream"]);
  checkPointer("pointer", pointer);
  checkInteger("value", value, 0, 2 ** (8 * width) - 1);
  const elements = checkBytes("count", count);
  if (stream === undefined)
    await abortable(signal, () => native.memset(device, pointer, value, width, elements));
  else
    await abortable(signal, () =>
      native.memset(checkStream(stream).device, pointer, value, width, elements, stream.native),
    );
}

/** Sets `count` bytes. */
export function cudaMemset(
  pointer: bigint,
  value: number,
  count: Bytes,
  options: CudaOptions = {},
): Promise<void> {
  return set(pointer, value, 1, count, readOptions(options));
}

/** Sets `count` elements of 16 bits; the pointer must be even. */
export function cuMemsetD16(
  pointer: bigint,
  value: number,
  count: Bytes,
  options: CudaOptions = {},
): Promise<void> {
  return set(pointer, value, 2, count, readOptions(options));
}

/** Sets `count` elements of 32 bits; the pointer must be a multiple of 4. */
export function cuMemsetD32(
  pointer: bigint,
  value: number,
  count: Bytes,
  options: CudaOptions = {},
): Promise<void> {
  return set(pointer, value, 4, count, readOptions(options));
}

/** Sets `count` bytes in the stream's order; enqueued when this returns, done when the promise resolves. */
export async function cudaMemsetAsync(
  pointer: bigint,
  value: number,
  count: Bytes,
  options: AsyncOptions,
): Promise<void> {
  checkStream(options?.stream);
  await set(pointer, value, 1, count, options);
}

/** What kind of memory a pointer is of, and of which allocation: its base, its size, the pointer's offset in it. */
export async function cudaPointerGetAttributes(
  pointer: bigint,
  options: CudaOptions = {},
): Promise<PointerFacts> {
  checkPointer("pointer", pointer);
  const { device, signal } = readOptions(options);
  return abortable(signal, () => native.pointerAttributes(device, pointer));
}
