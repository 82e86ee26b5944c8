import { setTimeout as delay } from "node:timers/promises";

/** Something did not come to pass in its time. */
export class Hang extends Error {
  constructor(readonly awaited: string) {
    super(`gave up waiting for ${awaited}`);
  }
}

/** The promise, or a Hang that says what was waited for. */
export function patience<T>(promise: Promise<T>, milliseconds: number, awaited: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Hang(awaited)), milliseconds);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Looks until `look` finds something; undefined when the time is up. */
export async function watchFor<T>(
  look: () => T | undefined | Promise<T | undefined>,
  milliseconds: number,
  everyMs = 20,
): Promise<T | undefined> {
  const deadline = performance.now() + milliseconds;
  for (;;) {
    const found = await look();
    if (found !== undefined || performance.now() > deadline) return found;
    await delay(everyMs);
  }
}
