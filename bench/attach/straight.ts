import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import type { LatencyPlan } from "./latency.js";

const program = path.join(__dirname, "..", "actors", "straight.js");

/** Attaches of fresh programs that bring CUDA up and attach at once, in milliseconds: see bench/actors/straight.ts. */
export async function measureStraight(
  { set, socket, device }: Pick<LatencyPlan, "set" | "socket" | "device">,
  count: number,
): Promise<number[]> {
  const samples: number[] = [];
  for (let i = 0; i < count; i++) {
    const { stdout } = await promisify(execFile)(process.execPath, [program, socket, set, String(device)]);
    samples.push(Number(stdout));
  }
  return samples;
}
