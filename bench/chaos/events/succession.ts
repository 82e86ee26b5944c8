import type { ChaosEvent } from "./event.js";

export const killStandby: ChaosEvent = {
  kind: "kill standby",
  async run({ fleet, findings }) {
    const { name, pid } = fleet.standby;
    findings.figures.kills.standby++;
    await fleet.standby.kill();
    await fleet.startStandby();
    return `${name} (pid ${pid}): replaced by ${fleet.standby.name}`;
  },
};

/** Another process takes everything over, perhaps while the old one loads. */
export const handOver: ChaosEvent = {
  kind: "hand over",
  async run({ fleet, findings, random }) {
    const old = fleet.owner.name;
    // Until then it is refused.
    await fleet.recover();
    const loading = random.next() < 0.5 ? fleet.load(undefined) : undefined;
    const began = performance.now();
    const [loaded] = await Promise.all([loading, fleet.handOver()]);
    findings.figures.handovers++;
    const took = `${old} to ${fleet.owner.name} in ${Math.round(performance.now() - began)} ms`;
    return loaded === undefined ? took : `${took}, after ${loaded}`;
  },
};
