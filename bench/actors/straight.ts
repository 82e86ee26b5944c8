/**
 * A program that brings CUDA up and attaches at once, with no other events meanwhile: node straight.js SOCKET SET DEVICE.
 * Prints the milliseconds of the attach.
 */
import { attach, cudaMemGetInfo } from "../../lib/index.js";
import { millisecondsBetween, now } from "../common/clock.js";

async function main(): Promise<void> {
  const [socket, set, device] = process.argv.slice(2);
  await cudaMemGetInfo({ device: Number(device) });
  const before = now();
  const weights = await attach(set!, { socket });
  const attached = now();
  process.stdout.write(`${millisecondsBetween(before, attached)}\n`);
  await weights.release({ after: null });
}

void main();
