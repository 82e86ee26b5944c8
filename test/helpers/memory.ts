// Device memory in use. What a process lets go of may come back a moment later (its loader has yet to die, a
// driver frees lazily), so every comparison waits for the value it wants, within a bound.
import { expect } from "vitest";
import { native } from "../../dist/lib/native.js";
import { inspect } from "./inspect.js";

let warm: Promise<void> | undefined;

/** Free bytes of every device, by ordinal, with this process's own contexts and kernels up. */
export async function freeMemory(): Promise<number[]> {
  warm ??= inspect.warmUp();
  await warm;
  const devices = await native.devices();
  return Promise.all(devices.map(async ({ ordinal }) => (await native.memoryInfo(ordinal)).freeBytes));
}

/**
 * A GPU's driver keeps what streams and kernels of a process needed once: 6 MiB after a load in this process, on an
 * H100. The host driver keeps nothing, and is compared exactly.
 */
const keptByDriver = native.chosenProvider() === "libcuda" ? 16 * 1024 * 1024 : 0;

/** Asserts that at least as much is free as was `before`. */
export async function expectMemoryBack(before: number[], look = freeMemory): Promise<void> {
  const wanted = before.map((free) => free - keptByDriver);
  const isBack = (now: number[]) => now.every((free, device) => free >= wanted[device]!);
  const now = await inspect.watchFor(look, isBack);
  const missing = now.map((free, device) => Math.max(wanted[device]! - free, 0));
  expect(missing, "bytes of device memory that did not come back").toEqual(missing.map(() => 0));
}

/** Asserts that at least `bytes` less is free on a device than was `before`. */
export async function expectMemoryUsed(before: number[], bytes: number, device = 0): Promise<void> {
  const look = async () => before[device]! - (await freeMemory())[device]!;
  expect(await inspect.watchFor(look, (used) => used >= bytes)).toBeGreaterThanOrEqual(bytes);
}
