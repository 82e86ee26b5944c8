/** What the demo found out, and whether it is as promised. */
import type { DeviceMemory } from "./device-memory.js";

/** The object that --json prints. */
export interface Outcome {
  driver: string;
  sharing: string;
  modelBytes: number;
  workers: number;
  requests: number;
  wrongAnswers: number;
  counter: number;
  answered: number;
  inFlightAtKill: number;
  refCount: { attached: number; afterKill: number; afterRestart: number; afterClose: number };
  reattachMs: number;
  weightsChecksumEqualInAllWorkers: boolean;
  deviceMemory: DeviceMemory;
}

const MiB = 1 << 20;

interface Allowances {
  eachWorker: number;
  /** More than before, when everything is closed. */
  left: number;
}

/**
 * What device memory may be used for beside the model's tensors, and still count as one copy of the weights. A model
 * that is no larger than this cannot be told from its copies.
 */
const allowancesOf: Readonly<Record<string, Allowances>> = {
  // There is no context, only buffers, and nobody else on the demo's own machine.
  host: { eachWorker: 4 * MiB, left: 0 },
  // A context takes some hundred MiB, the more the larger the GPU. The driver keeps a little of what a process needed once.
  libcuda: { eachWorker: 1024 * MiB, left: 32 * MiB },
};
export const allowances = (driver: string): Allowances => allowancesOf[driver] ?? allowancesOf.libcuda!;

/** Slabs are multiples of 2 MiB, and their tensors lie at multiples of 256 bytes; the counter has a slab of its own. */
const roundingUp = 8 * MiB;

/** Every promise that was not kept, as a sentence. */
export function findFaults(outcome: Outcome): string[] {
  const { workers, requests, answered, counter, inFlightAtKill, refCount } = outcome;
  const faults: string[] = [];
  const expect = (ok: boolean, fault: string) => {
    if (!ok) faults.push(fault);
  };
  expect(outcome.wrongAnswers === 0, `${outcome.wrongAnswers} answers were wrong.`);
  expect(answered === requests, `${answered} of ${requests} requests were answered.`);
  expect(
    answered <= counter && counter <= answered + inFlightAtKill,
    `The counter says ${counter}, but ${answered} requests were answered and ${inFlightAtKill} were in flight at the kill.`,
  );
  const expected = { attached: workers, afterKill: workers - 1, afterRestart: workers, afterClose: 0 };
  for (const [when, count] of Object.entries(expected)) {
    const found = refCount[when as keyof typeof expected];
    expect(found === count, `The reference count (${when}) was ${found}, not ${count}.`);
  }
  expect(outcome.weightsChecksumEqualInAllWorkers, "Not all workers see the same weights.");
  const { reattachMs } = outcome;
  expect(
    Number.isFinite(reattachMs) && reattachMs > 0,
    `The replacement attached in ${reattachMs} ms, which is no time.`,
  );
  faults.push(...memoryFaults(outcome));
  return faults;
}

/** Other processes on the same GPU are in these figures, too. */
function memoryFaults({ driver, modelBytes, workers, deviceMemory }: Outcome): string[] {
  const { beforeBytes, withWorkersBytes, afterCloseBytes } = deviceMemory;
  const { eachWorker, left: mayBeLeft } = allowances(driver);
  const faults: string[] = [];
  const added = withWorkersBytes - beforeBytes;
  const most = modelBytes + roundingUp + workers * eachWorker;
  if (!(added >= modelBytes && added <= most)) {
    faults.push(
      `${workers} workers and the weights took ${added} bytes of device memory: with one copy of ${modelBytes} bytes that all of them share, no more than ${most}.`,
    );
  }
  const left = afterCloseBytes - beforeBytes;
  if (!(Math.abs(left) <= mayBeLeft)) {
    faults.push(
      `Device memory in use is ${left} bytes over before: not given back, or another process's on the same GPU.`,
    );
  }
  return faults;
}
