/** A worker's process: brings CUDA up first, then times attach() alone. */
import { createHash } from "node:crypto";
import * as entry from "../../lib/index.js";
import { cudaMemGetInfo, type Weights } from "../../lib/index.js";
import { attachSteps } from "../../lib/sharing/attach-steps.js";
import { millisecondsBetween, now } from "../common/clock.js";
import { serve } from "../common/serve.js";

export interface AttachSample {
  milliseconds: number;
  /** Of `release()`: unmapped, and the owner told. */
  detach: number;
  /** Milliseconds since the step before. */
  parts: Record<string, number>;
}

// The entry loads a module when the first of its names is read. Importing is not attaching: read it now.
const { attach: attachSet } = entry;

const held: Weights[] = [];

const commands = {
  /** cuInit and the device's primary context. */
  async initialize(device: number): Promise<void> {
    await cudaMemGetInfo({ device });
  },
  async attachAndRelease(name: string, socket: string): Promise<AttachSample> {
    const steps: [name: string, at: bigint][] = [];
    attachSteps.tell = (step) => steps.push([step, now()]);
    const before = now();
    const weights = await attachSet(name, { socket });
    const attached = now();
    attachSteps.tell = undefined;
    await weights.release({ after: null });
    const released = now();
    steps.push(["returned", attached]);
    const parts = steps.map(([step, at], i) => [step, millisecondsBetween(steps[i - 1]?.[1] ?? before, at)]);
    return {
      milliseconds: millisecondsBetween(before, attached),
      detach: millisecondsBetween(attached, released),
      parts: Object.fromEntries(parts),
    };
  },
  /** Milliseconds to look up every tensor and read its pointer, on weights that nobody has looked into. */
  async allPointers(name: string, socket: string): Promise<number> {
    await using weights = await attachSet(name, { socket });
    const before = now();
    let pointers = 0;
    for (const tensor of weights.tensors()) if (tensor.devicePointer > 0n) pointers++;
    const after = now();
    if (pointers !== weights.size) throw new Error("A tensor has no pointer, or was left out.");
    return millisecondsBetween(before, after);
  },
  async hash(name: string, socket: string, tensor: string): Promise<string> {
    await using weights = await attachSet(name, { socket });
    return createHash("sha256")
      .update(await weights.tensor(tensor).toBuffer())
      .digest("hex");
  },
  /** One message to the owner and its answer, without anything of CUDA. */
  async roundTrips(name: string, socket: string, count: number): Promise<number[]> {
    await using weights = await attachSet(name, { socket });
    const samples: number[] = [];
    for (let i = 0; i < count; i++) {
      const before = now();
      await weights.refCount();
      samples.push(millisecondsBetween(before, now()));
    }
    return samples;
  },
  async hold(name: string, socket: string): Promise<void> {
    held.push(await attachSet(name, { socket }));
  },
  /** Attaches, says how many milliseconds that took, and keeps it. */
  async holdTimed(name: string, socket: string): Promise<number> {
    const before = now();
    held.push(await attachSet(name, { socket }));
    return millisecondsBetween(before, now());
  },
  async releaseHeld(): Promise<void> {
    for (const weights of held.splice(0)) await weights.release({ after: null });
  },
  /** A lease more and a lease less, through the owner: operations per second of each batch. */
  async leaseRates(name: string, socket: string, batches: number, operations: number): Promise<number[]> {
    await using weights = await attachSet(name, { socket });
    const rates: number[] = [];
    // The first batch warms up.
    for (let batch = 0; batch <= batches; batch++) {
      const before = now();
      for (let i = 0; i < operations / 2; i++) await (await weights.retain()).release({ after: null });
      const rate = operations / (millisecondsBetween(before, now()) / 1e3);
      if (batch > 0) rates.push(rate);
    }
    return rates;
  },
  /** `tensor.devicePointer`: nanoseconds per call, of each batch. */
  async pointerReads(name: string, socket: string, batches: number, reads: number): Promise<number[]> {
    await using weights = await attachSet(name, { socket });
    const tensor = weights.tensor(weights.names()[0]!);
    const times: number[] = [];
    let sink = 0n;
    for (let batch = 0; batch <= batches; batch++) {
      const before = now();
      for (let i = 0; i < reads; i++) sink ^= tensor.devicePointer;
      const each = (millisecondsBetween(before, now()) * 1e6) / reads;
      if (batch > 0) times.push(each);
    }
    if (sink !== 0n && sink !== tensor.devicePointer)
      throw new Error("The pointer changed while it was read.");
    return times;
  },
};

export type WorkerCommands = typeof commands;

serve(commands);
