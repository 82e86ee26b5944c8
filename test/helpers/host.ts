// Groups of processes on the host driver, chosen by name, whatever driver the other tests run on: for what only it
// can do, which is injected faults, a small memory and several devices.
import { randomBytes } from "node:crypto";
import { expect } from "vitest";
import { type Child, startChild } from "./child.js";
import { inspect } from "./inspect.js";
import { newSocket } from "./temporary.js";

/** Results of the driver, as CUDA numbers them. */
export const CUDA_ERROR_OUT_OF_MEMORY = 2;
export const CUDA_ERROR_UNKNOWN = 999;

export interface Machine {
  readonly env: NodeJS.ProcessEnv;
  /** Bytes in use on all devices. */
  memoryInUse(): Promise<number>;
  /** Asserts that nothing is allocated any more. */
  expectEmpty(): Promise<void>;
}

/** A machine of its own: what is allocated there is not seen elsewhere. An observer process looks at its memory. */
export function hostMachine({ memory = "256M", devices = 2 } = {}): Machine {
  const env = {
    CUDA_IPC_DRIVER: "host",
    CUDA_IPC_HOST_SCOPE: randomBytes(4).toString("hex"),
    CUDA_IPC_HOST_MEMORY: memory,
    CUDA_IPC_HOST_DEVICES: String(devices),
    CUDA_IPC_HOST_FAULTS: "",
    CUDA_VISIBLE_DEVICES: undefined,
  };
  let observer: Child | undefined;
  const memoryInUse = () => {
    if (observer === undefined || observer.exit !== undefined) observer = startChild("raw.cjs", env);
    return observer.call<number>("memoryInUse");
  };
  return {
    env,
    memoryInUse,
    async expectEmpty() {
      const left = await inspect.watchFor(memoryInUse, (bytes) => bytes === 0);
      expect(left, "bytes of device memory that are left").toBe(0);
    },
  };
}

/** Runs a process under a limit of open descriptors. */
export const underFdLimit = (limit: number) => ["sh", "-c", `ulimit -n ${limit} && exec "$@"`, "sh"];

/**
 * A fault for each attempt of an operation: twice at its first call of the function, then at its second, and so on,
 * as calls are counted from the process's start and an attempt ends where it fails.
 */
export function faultAtEachCall(name: string, result = CUDA_ERROR_UNKNOWN, attempts = 150): string {
  const calls = Array.from({ length: attempts }, (_, n) => 1 + (n * (n + 1)) / 2);
  return calls.map((call) => `${name}:${call}=${result}`).join(",");
}

/** An owner on that machine, in a process of its own that has CUDA up unless faults are to meet it first. */
export async function startHostOwner(
  machine: Machine,
  folder: string,
  { faults, through, options = {} }: { faults?: string; through?: string[]; options?: object } = {},
): Promise<{ owner: Child; socket: string }> {
  const owner = startChild("owner.cjs", { ...machine.env, CUDA_IPC_HOST_FAULTS: faults }, through);
  const socket = newSocket(folder);
  if (faults === undefined) await owner.call("warmUp");
  await owner.call("listen", { socket, ...options });
  return { owner, socket };
}

/** A worker on that machine, with CUDA up unless faults are to meet it first. */
export async function startHostWorker(
  machine: Machine,
  { faults, through }: { faults?: string; through?: string[] } = {},
): Promise<Child> {
  const worker = startChild("worker.cjs", { ...machine.env, CUDA_IPC_HOST_FAULTS: faults }, through);
  if (faults === undefined) await worker.call("warmUp");
  return worker;
}
