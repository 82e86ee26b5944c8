/** From a process's start to its first kernel on the weights: node starter.js SOCKET SET DEVICE, one JSON line. */
import { now } from "../common/clock.js";

const entered = now();

import { attach, builtinModule, cudaDeviceSynchronize, cudaMalloc, cudaMemset } from "../../lib/index.js";

/** What the floor's first kernel reads. */
const bytes = 2 << 20;

async function main(): Promise<void> {
  const [socket, set, ordinal] = process.argv.slice(2);
  const device = Number(ordinal);
  const imported = now();
  const weights = await attach(set!, { socket });
  const attached = now();
  const kernel = await (await builtinModule(device)).function("cuda_ipc_checksum");
  const loaded = now();
  const sums = await cudaMalloc(16, { device });
  await cudaMemset(sums, 0, 16, { device });
  const pointer = weights.tensor(weights.names()[0]!).devicePointer;
  kernel.launch({
    grid: 64,
    block: 256,
    args: [{ pointer }, { u64: BigInt(Math.min(bytes, weights.bytes)) }, { u64: 0n }, { pointer: sums }],
  });
  await cudaDeviceSynchronize({ device });
  const done = now();
  process.stdout.write(`${JSON.stringify([entered, imported, attached, loaded, done].map(String))}\n`);
  await weights.release();
}

void main();
