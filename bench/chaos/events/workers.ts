import { setTimeout as delay } from "node:timers/promises";
import type { ChaosEvent, Scene } from "./event.js";

/** One or more workers, but never all of them unless there is one alone. */
export const killWorker: ChaosEvent = {
  kind: "kill worker",
  async run({ fleet, random }) {
    const most = Math.max(1, fleet.slots.length - 1);
    const count = random.next() < 0.75 ? 1 : 1 + random.below(most);
    const slots = random.shuffled(fleet.slots).slice(0, count);
    const victims = await fleet.killWorkers(slots);
    await fleet.startWorkers(slots);
    const names = victims.map(({ name, pid }) => `${name} (pid ${pid})`);
    return `${names.join(", ")}: replaced by ${slots.map(({ serving }) => serving!.name).join(", ")}`;
  },
};

export const stopWorker: ChaosEvent = {
  kind: "stop worker",
  async run(scene) {
    const { worker, milliseconds } = await stopOne(scene, async () => {});
    return `${worker} for ${milliseconds} ms`;
  },
};

/** Stops a worker, does something else, and lets it go on after a while. */
export async function stopOne<T>({ fleet, random }: Scene, meanwhile: () => Promise<T>) {
  const worker = fleet.slots[random.below(fleet.slots.length)]!.serving!;
  const milliseconds = 100 + random.below(500);
  worker.stop();
  try {
    const [result] = await Promise.all([meanwhile(), delay(milliseconds)]);
    return { worker: worker.name, milliseconds, result };
  } finally {
    worker.continue();
  }
}
