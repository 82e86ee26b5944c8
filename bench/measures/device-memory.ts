/** Device memory in use, as two tools tell it. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { cudaGetDeviceProperties, cudaMemGetInfo } from "../../lib/index.js";
import type { Bench } from "../suite/bench.js";

const run = promisify(execFile);

export type Tool = "nvidia-smi" | "cudaMemGetInfo";

/** Bytes in use on the device by everybody. This process has its context up from the first call on. */
export async function bytesInUse(device: number): Promise<number> {
  const { freeBytes, totalBytes } = await cudaMemGetInfo({ device });
  return totalBytes - freeBytes;
}

/** What can be read here: nvidia-smi knows of real devices only. */
export async function memoryReaders(bench: Bench): Promise<Map<Tool, () => Promise<number>>> {
  const readers = new Map<Tool, () => Promise<number>>();
  readers.set("cudaMemGetInfo", () => bytesInUse(bench.device));
  const { uuid } = await cudaGetDeviceProperties({ device: bench.device });
  const smi = async () => {
    const query = ["-i", uuid, "--query-gpu=memory.used", "--format=csv,noheader,nounits"];
    const { stdout } = await run("nvidia-smi", query, { timeout: 10_000 });
    return Number(stdout.trim()) * 2 ** 20;
  };
  try {
    if (Number.isFinite(await smi())) readers.set("nvidia-smi", smi);
  } catch {
    bench.note("nvidia-smi does not know this device: cudaMemGetInfo alone was read.");
  }
  return readers;
}

/** Polls until no more than `bytes` are in use, and returns when that was seen. */
export async function whenAtMost(device: number, bytes: number, seconds: number): Promise<bigint> {
  const deadline = process.hrtime.bigint() + BigInt(Math.round(seconds * 1e9));
  for (;;) {
    const used = await bytesInUse(device);
    const now = process.hrtime.bigint();
    if (used <= bytes) return now;
    if (now > deadline) throw new Error(`${used - bytes} bytes were still in use after ${seconds} s.`);
  }
}
