import { setTimeout as delay } from "node:timers/promises";
import type { ChaosEvent, Scene } from "./event.js";

/** An owner that does not answer: workers go on with what they have. */
export const stopOwner: ChaosEvent = {
  kind: "stop owner",
  async run({ fleet, random }) {
    const { owner } = fleet;
    const milliseconds = 100 + random.below(500);
    owner.stop();
    await delay(milliseconds);
    owner.continue();
    return `${owner.name} for ${milliseconds} ms`;
  },
};

/** The workers give another owner what the dead one had. */
export const restartOwner: ChaosEvent = {
  kind: "restart owner",
  async run(scene) {
    const killed = await killOwner(scene);
    const began = performance.now();
    const { fleet } = scene;
    await fleet.startOwner();
    const lost = await fleet.recover();
    const took = `${fleet.owner.name} recovered in ${Math.round(performance.now() - began)} ms`;
    return [killed, took, ...lost].join("; ");
  },
};

/** Kills the owner, perhaps while it loads or just after. Returns what has happened, for people. */
async function killOwner({ fleet, findings, random }: Scene): Promise<string> {
  const { owner } = fleet;
  const after = random.next() < 0.5 ? undefined : random.next() * 300;
  const kill = async () => {
    if (after !== undefined) await delay(after);
    findings.figures.kills.owner++;
    await owner.kill();
  };
  const name = `${owner.name} (pid ${owner.pid})`;
  if (after === undefined) {
    await kill();
    return name;
  }
  const published = await fleet.loadThatMayEnd(kill);
  return `${name}, ${Math.round(after)} ms after a load had begun${published ? ", which was done" : ""}`;
}
