import path from "node:path";
import type { OwnerCommands } from "../actors/owner.js";
import type { WorkerCommands } from "../actors/worker.js";
import { startWorker } from "../attach/latency.js";
import { Child } from "../common/child.js";
import { millisecondsBetween, now } from "../common/clock.js";
import { type Bench, type Measure, Skip } from "../suite/bench.js";
import { mainSet } from "../suite/dataset.js";
import { actor, sharings } from "./session.js";

export const restart: Measure = {
  name: "restart",
  title: "a killed owner's successor whole again by its live workers, beside loading the file again",
  limitSeconds: 180,
  async run(bench) {
    const file = await mainSet(bench);
    if (!(await sharings(bench)).includes("vmm")) throw new Skip("Only vmm memory outlives its owner.");
    const { workers: count, rounds } = bench.profile.restart;
    // One more round of each than is kept: the first is a warm-up.
    const recovering: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      bench.step(round === 0 ? "recovery, warm-up" : `recovery ${round} of ${rounds}`);
      recovering.push(await recover(bench, file.path, count, path.join(bench.scratch, `s${round}`)));
    }
    const loading: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      bench.step(round === 0 ? "load, warm-up" : `load ${round} of ${rounds}`);
      loading.push(await loadAgain(bench, file.path, path.join(bench.scratch, `l${round}`)));
    }
    const labels = { bytes: file.bytes, workers: count };
    bench.record("cuda-ipc", "whole again from its workers", "ms", labels, recovering.slice(1));
    bench.record("cuda-ipc", "whole again from the file", "ms", labels, loading.slice(1));
  },
};

/** From the successor's Owner.listen until it is whole, every worker's lease included. */
async function recover(bench: Bench, file: string, count: number, socket: string): Promise<number> {
  const [first, second] = [
    new Child<OwnerCommands>(actor("owner")),
    new Child<OwnerCommands>(actor("owner")),
  ];
  const workers: Child<WorkerCommands>[] = [];
  try {
    await first.call("listen", socket);
    await first.call("publish", "set", file, "vmm", bench.device);
    for (let i = 0; i < count; i++) {
      const worker = await startWorker(bench.device);
      workers.push(worker);
      await worker.call("hold", "set", socket);
    }
    first.kill();
    await first.ended();
    const before = now();
    await second.call("listen", socket);
    const { restored, lost } = await second.call("whenRecovered");
    const time = millisecondsBetween(before, now());
    if (restored !== 1 || lost !== 0)
      throw new Error(`${restored} versions are whole again, ${lost} are lost.`);
    const left = await second.call("refCount", "set");
    if (left !== count) throw new Error(`The successor counts ${left} leases of ${count}.`);
    return time;
  } finally {
    for (const process of [...workers, first, second]) process.kill();
  }
}

/** The same without workers: from Owner.listen of a fresh process until the set is published. */
async function loadAgain(bench: Bench, file: string, socket: string): Promise<number> {
  const owner = new Child<OwnerCommands>(actor("owner"));
  try {
    // Up, as the successor's process above is.
    await owner.call("cpuMicroseconds");
    const before = now();
    await owner.call("listen", socket);
    await owner.call("publish", "set", file, "vmm", bench.device);
    return millisecondsBetween(before, now());
  } finally {
    owner.kill();
    await owner.ended();
  }
}
