/** The raw layer: CUDA's own calls under CUDA's own names, in the device's primary context. */
export type { Access, DeviceFacts, KernelArgument, NativeFd, PointerFacts } from "../native.js";
export type { Bytes, CudaOptions } from "./check.js";
export {
  cudaDeviceSynchronize,
  cudaDriverGetVersion,
  cudaGetDeviceCount,
  cudaGetDeviceProperties,
  cudaMemGetInfo,
} from "./device.js";
export { type EarlyStartOptions, earlyStart } from "./early-start.js";
export {
  cudaEventCreate,
  cudaEventDestroy,
  cudaEventElapsedTime,
  cudaEventQuery,
  cudaEventRecord,
  cudaEventSynchronize,
  cudaIpcGetEventHandle,
  cudaIpcOpenEventHandle,
  Event,
  type EventOptions,
} from "./event.js";
export { type Handle, handleFromBase64, handleToBase64 } from "./handle.js";
export { cudaIpcCloseMemHandle, cudaIpcGetMemHandle, cudaIpcOpenMemHandle } from "./ipc.js";
export { cudaMemcpy, cudaMemcpyAsync, type MemoryEnd } from "./memcpy.js";
export {
  type AsyncOptions,
  cudaFree,
  cudaMalloc,
  cudaMemset,
  cudaMemsetAsync,
  cudaPointerGetAttributes,
  cuMemsetD16,
  cuMemsetD32,
} from "./memory.js";
export { builtinModule, cuLaunchKernel, type Extent, Kernel, type LaunchOptions, Module } from "./module.js";
export { openShared, type Shareable, SharedMemory, shareable } from "./shareable.js";
export {
  cudaStreamCreate,
  cudaStreamDestroy,
  cudaStreamQuery,
  cudaStreamSynchronize,
  cudaStreamWaitEvent,
  Stream,
  type StreamOptions,
} from "./stream.js";
export { VmmAllocation } from "./vmm.js";
