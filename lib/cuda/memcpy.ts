import { invalidArgument } from "../errors.js";
import { native } from "../native.js";
import { abortable } from "./abortable.js";
import { type Bytes, bytesOf, type CudaOptions, checkBytes, checkPointer, readOptions } from "./check.js";
import type { AsyncOptions } from "./memory.js";
import { checkStream, type Stream } from "./stream.js";

/** One end of a copy: device memory by pointer, host memory by view. */
export type MemoryEnd = bigint | ArrayBufferView;

/**
 * Copies between device and host, or device and device; the kinds of the two ends say which. `count` defaults to
 * the view's length. A view must not be changed, and its buffer not transferred, until the promise settles.
 */
export async function cudaMemcpy(
  target: MemoryEnd,
  source: MemoryEnd,
  count?: Bytes,
  options: CudaOptions = {},
): Promise<void> {
  const { device, signal } = readOptions(options);
  const call = copy(target, source, count);
  await abortable(signal, () => call(device));
}

/**
 * The same in a stream's order, done when the promise resolves. Between device and device the copy is enqueued
 * before this returns. A copy from or to a view takes its place in the stream only some time before the promise
 * resolves, because the driver may block on such memory: await it before enqueueing what depends on it.
 */
export async function cudaMemcpyAsync(
  target: MemoryEnd,
  source: MemoryEnd,
  count: Bytes | undefined,
  options: AsyncOptions,
): Promise<void> {
  const { signal, stream } = readOptions(options, ["stream"]);
  const { device } = checkStream(stream);
  const call = copy(target, source, count);
  await abortable(signal, () => call(device, stream));
}

type Call = (device: number, stream?: Stream) => Promise<void>;

function copy(target: MemoryEnd, source: MemoryEnd, count: Bytes | undefined): Call {
  const given = count === undefined ? undefined : checkBytes("count", count);
  if (ArrayBuffer.isView(source)) {
    const to = checkPointer("target", target);
    const bytes = part("source", source, given);
    return (device, stream) => native.memcpyHtoD(device, to, bytes, stream?.native);
  }
  const from = checkPointer("source", source);
  if (ArrayBuffer.isView(target)) {
    const bytes = part("target", target, given);
    return (device, stream) => native.memcpyDtoH(device, bytes, from, stream?.native);
  }
  const to = checkPointer("target", target);
  if (given === undefined) throw invalidArgument("count", "a safe integer from 0", count);
  return (device, stream) => native.memcpyDtoD(device, to, from, given, stream?.native);
}

function part(name: string, view: ArrayBufferView, count = view.byteLength): Uint8Array {
  if (count > view.byteLength)
    throw invalidArgument("count", `at most the ${view.byteLength} bytes of ${name}`, count);
  return bytesOf(view).subarray(0, count);
}
