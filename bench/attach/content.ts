import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { openCheckpoint } from "../../lib/index.js";
import { startWorker } from "./latency.js";
import { witness } from "./model.js";

/** That what workers attach to is what the file holds. */
export async function checkContent(
  at: { set: string; socket: string; device: number },
  file: string,
): Promise<void> {
  const tensor = (await openCheckpoint(file)).tensors.get(witness)!;
  const handle = await open(file);
  const expected = createHash("sha256");
  try {
    const { buffer } = await handle.read(Buffer.alloc(tensor.bytes), 0, tensor.bytes, tensor.fileOffset);
    expected.update(buffer);
  } finally {
    await handle.close();
  }
  const worker = await startWorker(at.device);
  try {
    const found = await worker.call("hash", at.set, at.socket, witness);
    if (found !== expected.digest("hex"))
      throw new Error(`${witness} has other bytes in a worker than in the file.`);
    await worker.end();
  } finally {
    worker.kill();
  }
}
