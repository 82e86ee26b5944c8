import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { BareCommands } from "../actors/bare.js";
import type { WorkerCommands } from "../actors/worker.js";
import { alternate } from "../common/alternate.js";
import { Child } from "../common/child.js";
import { Floor, restMs, type SampleKind } from "./floor.js";

export interface Sample {
  /** "asking": the floor's calls, with asking for the memory over a socket. "bare": an attach of which only the mapping is made. */
  of: "floor" | "asking" | "bare" | "attach";
  kind: SampleKind;
  milliseconds: number;
  /** Not of "bare". */
  detach?: number;
  parts?: Record<string, number>;
}

export interface LatencyPlan {
  driver: string;
  sharing: "vmm" | "ipc";
  device: number;
  socket: string;
  /** The published set, and its bytes of device memory. */
  set: string;
  bytes: number;
  /** Fresh processes of each side. */
  samples: number;
  /** Further attaches in each process, one behind the other. */
  repeats: number;
  /** And so many, each when both processes have done nothing for a while. */
  rested?: number;
  /** Whether the floor was built; default: it was. */
  floor?: boolean;
  /** Whether to measure "asking" and "bare", too. */
  asking?: boolean;
  onRound?: (round: number) => void;
}

export const workerFile = path.join(__dirname, "..", "actors", "worker.js");

/** Starts a worker whose CUDA is up. */
export async function startWorker(device: number): Promise<Child<WorkerCommands>> {
  const worker = new Child<WorkerCommands>(workerFile);
  try {
    await worker.call("initialize", device);
  } catch (error) {
    worker.kill();
    throw error;
  }
  return worker;
}

/** Alternates between the floor and the library, each in fresh processes, so that drift meets both alike. */
export async function measureLatency(plan: LatencyPlan): Promise<Sample[]> {
  const samples: Sample[] = [];
  const floor = plan.floor === false ? undefined : await Floor.start(plan);
  try {
    const inCpp = (of: "floor" | "asking", command: "attach" | "ask") => async () => {
      const found = await floor!.attach(plan.repeats, plan.rested ?? 0, command);
      samples.push(...found.map((sample) => ({ of, ...sample })));
    };
    await alternate(
      plan.samples,
      [
        ...(floor !== undefined ? [inCpp("floor", "attach")] : []),
        ...(floor !== undefined && plan.asking ? [inCpp("asking", "ask")] : []),
        ...(plan.asking ? [async () => samples.push(await mapInFreshProcess(plan))] : []),
        async () => samples.push(...(await attachInFreshProcess(plan))),
      ],
      plan.onRound,
    );
    await floor?.end();
  } finally {
    floor?.kill();
  }
  return samples;
}

/** A fresh process's first attach, of which only the mapping is made: see bench/actors/bare.ts. */
async function mapInFreshProcess({
  set,
  socket,
  device,
}: Pick<LatencyPlan, "set" | "socket" | "device">): Promise<Sample> {
  const worker = new Child<BareCommands>(path.join(__dirname, "..", "actors", "bare.js"));
  try {
    await worker.call("initialize", device);
    const milliseconds = await worker.call("map", set, socket);
    await worker.end();
    return { of: "bare", kind: "first", milliseconds };
  } finally {
    worker.kill();
  }
}

/** A fresh process's first attach, and so many more; then whatever else it is to do. */
export async function attachInFreshProcess(
  {
    set,
    socket,
    device,
    repeats,
    rested = 0,
  }: Pick<LatencyPlan, "set" | "socket" | "device" | "repeats" | "rested">,
  andThen?: (worker: Child<WorkerCommands>) => Promise<void>,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  const worker = await startWorker(device);
  try {
    const add = async (kind: SampleKind) =>
      samples.push({ of: "attach", kind, ...(await worker.call("attachAndRelease", set, socket)) });
    for (let i = 0; i <= repeats; i++) await add(i === 0 ? "first" : "repeated");
    for (let i = 0; i < rested; i++) {
      await pause(restMs);
      await add("rested");
    }
    await andThen?.(worker);
    await worker.end();
  } finally {
    worker.kill();
  }
  return samples;
}

/** What one message and its answer cost: the part of an attach that no driver call explains. */
export async function measureRoundTrips(
  plan: Pick<LatencyPlan, "set" | "socket" | "device">,
  count: number,
): Promise<number[]> {
  const worker = await startWorker(plan.device);
  try {
    const samples = await worker.call("roundTrips", plan.set, plan.socket, count);
    await worker.end();
    return samples;
  } finally {
    worker.kill();
  }
}
