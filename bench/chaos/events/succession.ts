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

/** One of both dies in the middle of it. The old owner goes on, the new one does, or the standby takes over. */
export const breakHandOver: ChaosEvent = {
  kind: "break hand-over",
  async run({ fleet, findings, random, rested }) {
    const old = fleet.owner.name;
    const victim = random.next() < 0.5 ? "owner" : "successor";
    const afterMs = Math.round(random.next() * 40);
    await fleet.recover();
    findings.figures.kills.owner++;
    await fleet.breakHandOver(victim, afterMs);
    const { lost, texts } = await fleet.recover();
    if (rested && lost.length > 0) {
      findings.fault(`Version ${lost.join(", ")} was lost in a hand-over although the standby held it.`);
    }
    const what = `of ${old}: its ${victim === "owner" ? "giver" : "taker"} was killed after ${afterMs} ms`;
    return [what, `${fleet.owner.name} is the owner`, ...texts].join("; ");
  },
};
