import type { NativeModule } from "../native.js";
import { cudaDeviceSynchronize } from "./device.js";
import { cudaEventCreate } from "./event.js";
import { cudaMemcpy } from "./memcpy.js";
import { cudaFree, cudaMalloc, cudaMemset } from "./memory.js";
import { builtinModule, Module } from "./module.js";
import { cudaStreamCreate } from "./stream.js";

/**
 * Has compiled what a program does first with memory that it has attached: a module and a launch, and what that takes
 * beside them. Every call is aborted before it reaches the driver, which is coming up meanwhile, or launches nothing.
 */
export async function rehearseLaunch(): Promise<void> {
  const aborted = { signal: AbortSignal.abort() };
  const bytes = Buffer.alloc(1);
  const calls = [
    () => builtinModule(0, aborted),
    () => cudaMalloc(1, aborted),
    () => cudaMemset(0n, 0, 1, aborted),
    () => cudaMemcpy(0n, bytes, 1, aborted),
    () => cudaMemcpy(bytes, 0n, 1, aborted),
    () => cudaFree(0n, aborted),
    () => cudaStreamCreate(aborted),
    () => cudaEventCreate(aborted),
    () => cudaDeviceSynchronize(aborted),
  ];
  for (const call of calls) await call().catch(() => {});
  const played = { device: 0, function: async () => ({ launch: () => {} }) } as unknown as NativeModule;
  const kernel = await Module.from(played).function("kernel");
  kernel.launch({ grid: [1, 1, 1], block: 1, args: [{ u32: 0 }] });
}
