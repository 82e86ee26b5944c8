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

/** Every promise that was not kept, as a sentence. */
export function findFaults(outcome: Outcome): string[] {
  const { workers, requests, answered, counter, inFlightAtKill, refCount, deviceMemory } = outcome;
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
  // Other processes may use the device at the same time; a copy of the weights left behind is still visible.
  const left = deviceMemory.afterCloseBytes - deviceMemory.beforeBytes;
  expect(left < outcome.modelBytes / 2, `${left} bytes of device memory are still in use.`);
  return faults;
}
