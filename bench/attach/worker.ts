/** A worker's process: brings CUDA up first, then times attach() alone. */
import { createHash } from "node:crypto";
import { attach, cudaMemGetInfo, type Weights } from "../../lib/index.js";
import { millisecondsBetween, now } from "../common/clock.js";
import { serve } from "../common/serve.js";

export interface AttachSample {
  milliseconds: number;
  /** Of `release()`: unmapped, and the owner told. */
  detach: number;
}

const held: Weights[] = [];

const commands = {
  /** cuInit and the device's primary context. */
  async initialize(device: number): Promise<void> {
    await cudaMemGetInfo({ device });
  },
  async attachAndRelease(name: string, socket: string): Promise<AttachSample> {
    const before = now();
    const weights = await attach(name, { socket });
    const attached = now();
    await weights.release({ after: null });
    return {
      milliseconds: millisecondsBetween(before, attached),
      detach: millisecondsBetween(attached, now()),
    };
  },
  async hash(name: string, socket: string, tensor: string): Promise<string> {
    await using weights = await attach(name, { socket });
    return createHash("sha256")
      .update(await weights.tensor(tensor).toBuffer())
      .digest("hex");
  },
  /** One message to the owner and its answer, without anything of CUDA. */
  async roundTrips(name: string, socket: string, count: number): Promise<number[]> {
    await using weights = await attach(name, { socket });
    const samples: number[] = [];
    for (let i = 0; i < count; i++) {
      const before = now();
      await weights.refCount();
      samples.push(millisecondsBetween(before, now()));
    }
    return samples;
  },
  async hold(name: string, socket: string): Promise<void> {
    held.push(await attach(name, { socket }));
  },
};

export type WorkerCommands = typeof commands;

serve(commands);
