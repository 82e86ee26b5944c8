import type { OwnerCommands } from "../actors/owner.js";
import type { WorkerCommands } from "../actors/worker.js";
import { startWorker } from "../attach/latency.js";
import type { Child } from "../common/child.js";
import { summarize } from "../common/statistics.js";
import type { Measure } from "../suite/bench.js";
import { sparseDataset } from "../suite/dataset.js";
import { sharings, withOwner } from "./session.js";

/** What it costs the owner to be asked for its CPU time, in microseconds: that is no part of an attach. */
async function costOfAsking(owner: Child<OwnerCommands>): Promise<number> {
  const costs: number[] = [];
  for (let round = 0; round < 20; round++) {
    const before = await owner.call("cpuMicroseconds");
    costs.push((await owner.call("cpuMicroseconds")) - before);
  }
  return summarize(costs).median;
}

export const attachConcurrent: Measure = {
  name: "attach-concurrent",
  title: "attach time of many workers at once, and the owner's CPU time for each",
  limitSeconds: 240,
  async run(bench) {
    const { workers: counts, bytes, rounds } = bench.profile.attachConcurrent;
    const file = await sparseDataset(bench, bytes, bench.profile.set.tensors);
    const workers: Child<WorkerCommands>[] = [];
    try {
      await withOwner(bench, async ({ owner, socket }) => {
        for (const sharing of await sharings(bench)) {
          await owner.call("publish", sharing, file.path, sharing, bench.device);
          for (const count of counts) {
            bench.step(`${sharing}, ${count} workers`);
            // A few at a time: each brings CUDA up.
            while (workers.length < count) {
              const more = Math.min(8, count - workers.length);
              const starting = Array.from({ length: more }, () => startWorker(bench.device));
              workers.push(...(await Promise.all(starting)));
            }
            const times: number[] = [];
            const cpu: number[] = [];
            const asking = await costOfAsking(owner);
            for (let round = 0; round <= rounds; round++) {
              const group = workers.slice(0, count);
              const before = await owner.call("cpuMicroseconds");
              const found = await Promise.all(
                group.map((worker) => worker.call("holdTimed", sharing, socket)),
              );
              const used = (await owner.call("cpuMicroseconds")) - before;
              await Promise.all(group.map((worker) => worker.call("releaseHeld")));
              if (round === 0) continue;
              times.push(...found);
              cpu.push((used - asking) / count);
            }
            bench.record("cuda-ipc", "attach", "ms", { sharing, workers: count }, times);
            bench.record("cuda-ipc", "owner CPU per attach", "us", { sharing, workers: count }, cpu);
          }
          await owner.call("retire", sharing);
        }
        for (const worker of workers) await worker.end();
      });
    } finally {
      for (const worker of workers) worker.kill();
    }
  },
};
