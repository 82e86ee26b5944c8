import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { watchFor } from "../patience.js";
import type { ChaosEvent } from "./event.js";

export const swap: ChaosEvent = {
  kind: "swap",
  async run({ fleet, random }) {
    const from = random.next() < 0.5 ? "file" : undefined;
    return `${await fleet.load(from)} from ${from ?? "memory"}`;
  },
};

/** Publishes a version, and makes the one before it current again: when all workers have moved, or while they do. */
export const rollback: ChaosEvent = {
  kind: "roll back",
  async run({ fleet, random }) {
    const before = await fleet.owner.call("pinCurrent");
    const next = await fleet.load(undefined);
    await delay(random.next() * 200);
    const { id, number } = await fleet.owner.call("rollback", before.id);
    return `from ${next} to version ${number} (${id.slice(0, 8)})`;
  },
};

/** The process that loads for the owner, early or late in its life. The load must fail, and nothing else. */
export const killLoader: ChaosEvent = {
  kind: "kill loader",
  async run({ fleet, findings, random }) {
    let latest = random.next() * fleet.loadMs;
    // One that has handed over its memory is killed in vain: the next is killed sooner.
    for (let attempt = 1; ; attempt++, latest /= 2) {
      let killed = 0;
      const failure = await fleet.loadInVain(async () => {
        const pid = await watchFor(() => loaderOf(fleet.owner.pid), 5000, 1);
        if (pid === undefined) return;
        await delay(latest);
        if (kill(pid)) killed = pid;
      });
      if (killed !== 0) findings.figures.kills.loader++;
      if (failure?.code === "ERR_CUDA_IPC_LOADER_DIED" && killed !== 0) {
        return `pid ${killed}, ${Math.round(latest)} ms after its start: the load failed`;
      }
      if (failure !== undefined) {
        findings.fault(`A load whose loader was killed failed with ${failure.code}: ${failure.message}`);
        return "failed";
      }
      if (attempt === 8) {
        findings.fault("No loader could be killed before it had loaded.");
        return "not killed";
      }
    }
  },
};

/** The child of the owner that runs the loader's program. */
function loaderOf(owner: number): number | undefined {
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const [, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (Number(parent) !== owner) continue;
      if (/loading\/main\.js/.test(readFileSync(`/proc/${entry}/cmdline`, "utf8"))) return Number(entry);
    } catch {
      // It has ended meanwhile.
    }
  }
  return undefined;
}

function kill(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch {
    return false;
  }
}
