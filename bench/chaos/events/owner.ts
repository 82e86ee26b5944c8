import { setTimeout as delay } from "node:timers/promises";
import type { ChaosEvent } from "./event.js";
import { aftermath, killOwner } from "./owner-death.js";
import { stopOne } from "./workers.js";

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

/** The standby takes over. */
export const failOver: ChaosEvent = {
  kind: "fail over",
  async run(scene) {
    const death = await killOwner(scene);
    const success = await scene.fleet.failOver();
    return aftermath(scene, { ...death, mirrored: true }, success);
  },
};

/** The standby dies with the owner: the workers give another owner what the dead one had. */
export const restartOwner: ChaosEvent = {
  kind: "restart owner",
  async run(scene) {
    const { fleet, findings } = scene;
    const death = await killOwner(scene, () => fleet.standby.kill());
    findings.figures.kills.standby++;
    await fleet.startOwner();
    await fleet.startStandby();
    return aftermath(scene, { ...death, mirrored: false }, `${fleet.owner.name} started`);
  },
};

/** A restarted owner and the standby run for the socket. */
export const raceForSocket: ChaosEvent = {
  kind: "race for socket",
  async run(scene) {
    const { fleet } = scene;
    const runner = await fleet.newRunner();
    const death = await killOwner(scene, () => fleet.race(runner));
    const winner = fleet.owner === runner ? "was started anew" : "stood by";
    return aftermath(scene, { ...death, mirrored: true }, `${fleet.owner.name} has won, which ${winner}`);
  },
};

/** A worker that is stopped while the owner dies, and goes on when there is another, loses nothing. */
export const stopThroughDeath: ChaosEvent = {
  kind: "stop through death",
  async run(scene) {
    const { worker, milliseconds, result } = await stopOne(scene, async () => {
      const death = await killOwner(scene);
      return { death, success: await scene.fleet.failOver() };
    });
    const { death, success } = result;
    return aftermath(
      scene,
      { ...death, mirrored: true },
      `${success}; ${worker} stood still for ${milliseconds} ms`,
    );
  },
};

/** Everybody dies but the standby, which has the weights still. */
export const killAllButStandby: ChaosEvent = {
  kind: "kill all but one",
  async run(scene) {
    const { fleet } = scene;
    const death = await killOwner(scene, () => fleet.killWorkers(fleet.slots));
    const [success] = await Promise.all([fleet.failOver(), fleet.startWorkers(fleet.slots)]);
    return aftermath(scene, { ...death, mirrored: true }, `with all workers; ${success}`);
  },
};
