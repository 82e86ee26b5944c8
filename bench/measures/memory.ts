import type { SeparateCommands } from "../actors/separate.js";
import { startWorker } from "../attach/latency.js";
import { Child } from "../common/child.js";
import type { Bench, Measure } from "../suite/bench.js";
import { mainSet } from "../suite/dataset.js";
import { bytesInUse, memoryReaders, whenAtMost } from "./device-memory.js";
import { actor, sharings, withOwner } from "./session.js";

/** Drivers keep a little more or less around between two moments; a leaked set is far above this. */
const slack = 16 << 20;

export const memory: Measure = {
  name: "memory",
  title: "device memory of workers that share the set, and of as many that load it each",
  limitSeconds: 180,
  async run(bench) {
    const file = await mainSet(bench);
    const readers = await memoryReaders(bench);
    const baseline = new Map<string, number>();
    for (const [tool, read] of readers) baseline.set(tool, await read());
    const start = await bytesInUse(bench.device);
    const record = async (mode: string, workers: number) => {
      for (const [tool, read] of readers) {
        const samples: number[] = [];
        for (let i = 0; i < bench.profile.memory.readings; i++) {
          samples.push((await read()) - baseline.get(tool)!);
        }
        bench.record("cuda-ipc", "in use", "bytes", { mode, workers, tool }, samples);
      }
    };
    await shared(bench, file.path, record);
    await whenAtMost(bench.device, start + slack, 30);
    await separate(bench, file.path, record);
    await whenAtMost(bench.device, start + slack, 30);
  },
};

type Recorder = (mode: string, workers: number) => Promise<void>;

/** Grows to each of the counts in turn, and reads there. */
async function grow(
  bench: Bench,
  mode: string,
  start: () => Promise<{ kill(): void; ended(): Promise<string> }>,
  record: Recorder,
): Promise<void> {
  const workers: Awaited<ReturnType<typeof start>>[] = [];
  try {
    for (const count of bench.profile.memory.workers) {
      bench.step(`${mode}, ${count} workers`);
      while (workers.length < count) workers.push(await start());
      await record(mode, count);
    }
  } finally {
    for (const worker of workers) worker.kill();
    for (const worker of workers) await worker.ended();
  }
}

async function shared(bench: Bench, file: string, record: Recorder): Promise<void> {
  const [sharing] = await sharings(bench);
  await withOwner(bench, async ({ owner, socket }) => {
    await owner.call("publish", "set", file, sharing!, bench.device);
    const start = async () => {
      const worker = await startWorker(bench.device);
      await worker.call("hold", "set", socket);
      return worker;
    };
    await grow(bench, "shared", start, record);
  });
}

function separate(bench: Bench, file: string, record: Recorder): Promise<void> {
  const start = async () => {
    const worker = new Child<SeparateCommands>(actor("separate"));
    try {
      await worker.call("load", file, bench.device);
    } catch (error) {
      worker.kill();
      throw error;
    }
    return worker;
  };
  return grow(bench, "separate", start, record);
}
