import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import type { LatencyPlan } from "./latency.js";

const program = path.join(__dirname, "..", "actors", "straight.js");

const limitMs = 30_000;

/** Attaches of fresh programs that bring CUDA up and attach at once, in milliseconds: see bench/actors/straight.ts. */
export async function measureStraight(
  { set, socket, device }: Pick<LatencyPlan, "set" | "socket" | "device">,
  count: number,
): Promise<number[]> {
  const samples: number[] = [];
  for (let i = 0; i < count; i++) {
    const options = { timeout: limitMs };
    const args = [program, socket, set, String(device)];
    const { stdout } = await promisify(execFile)(process.execPath, args, options);
    const milliseconds = Number.parseFloat(stdout);
    if (!(milliseconds > 0)) throw new Error(`A program that attaches at once printed: ${stdout}`);
    samples.push(milliseconds);
  }
  return samples;
}
