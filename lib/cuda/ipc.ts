/** CUDA IPC memory handles under CUDA's names. */
import { native } from "../native.js";
import { abortable } from "./abortable.js";
import { type CudaOptions, checkPointer, readOptions } from "./check.js";
import { type Handle, toHandle } from "./handle.js";

/**
 * The 64 bytes by which another process of this host opens an allocation of `cudaMalloc`. They name the
 * allocation, so a pointer into the middle of one is refused: see `shareable`.
 */
export async function cudaIpcGetMemHandle(pointer: bigint, options: CudaOptions = {}): Promise<Buffer> {
  checkPointer("pointer", pointer);
  const { device, signal } = readOptions(options);
  return abortable(signal, () => native.ipcGetMemHandle(device, pointer));
}

/**
 * Maps another process's allocation into this one, readable and writable. Opens of one handle are counted per
 * process, and each needs its own `cudaIpcCloseMemHandle`. The exporter must live until all have closed.
 */
export async function cudaIpcOpenMemHandle(handle: Handle, options: CudaOptions = {}): Promise<bigint> {
  const bytes = toHandle(handle);
  const { device, signal } = readOptions(options);
  return abortable(
    signal,
    () => native.ipcOpenMemHandle(device, bytes),
    (pointer) => native.ipcCloseMemHandle(pointer),
  );
}

/** Undoes one `cudaIpcOpenMemHandle`; the last one unmaps. Work that uses the memory must be done. */
export async function cudaIpcCloseMemHandle(pointer: bigint): Promise<void> {
  await native.ipcCloseMemHandle(checkPointer("pointer", pointer));
}
