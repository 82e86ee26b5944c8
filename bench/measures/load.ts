import os from "node:os";
import { checkContent } from "../attach/content.js";
import type { Bench, Measure } from "../suite/bench.js";
import { type Dataset, mainSet } from "../suite/dataset.js";
import { FileCache } from "./file-cache.js";
import { LoadFloor } from "./load-floor.js";
import { runPython } from "./python.js";
import { alternate, gigabytesPerSecond, type Sharing, sharings, withOwner } from "./session.js";

/** As many reader threads as the floor repays: 12 at most, see bench/README.md. */
export const floorThreads = (): number => Math.min(Math.max(os.cpus().length, 2), 12);

/** The default for "vmm": the time has the start of the process that loads, and of CUDA in it. */
async function byProcess(bench: Bench, file: Dataset, sharing: Sharing): Promise<number[]> {
  const rates: number[] = [];
  await withOwner(bench, async ({ owner }) => {
    for (let round = 0; round < bench.profile.load.peerRounds; round++) {
      bench.step(`by a process of its own, round ${round + 1}`);
      const { seconds } = await owner.call("publish", "set", file.path, sharing, bench.device);
      rates.push(gigabytesPerSecond(file.bytes, seconds));
      await owner.call("retire", "set");
    }
  });
  return rates;
}

export const load: Measure = {
  name: "load",
  title: "the set, page cache to device, beside the C++ floor and safetensors",
  limitSeconds: 150,
  peers: ["filecache", "loadfloor"],
  async run(bench) {
    const { rounds, peerRounds } = bench.profile.load;
    const file = await mainSet(bench);
    const cache = await FileCache.start();
    if ((await cache.warm(file.path)) < 1) bench.note("Part of the file did not stay in the page cache.");
    await cache.end();
    const [sharing] = await sharings(bench);
    const floor = await LoadFloor.start(bench.driver, sharing!, bench.device);
    const rates = { floor: [] as number[], pinning: [] as number[], library: [] as number[] };
    try {
      await withOwner(
        bench,
        async ({ owner, socket }) => {
          const byFloor = async () => {
            // The first one pins; the second finds everything there.
            floor.forget();
            for (const list of [rates.pinning, rates.floor]) {
              const { bytes, total } = await floor.load(file, { threads: floorThreads() });
              list.push(gigabytesPerSecond(bytes, total / 1e3));
            }
          };
          const byLibrary = async () => {
            const { seconds } = await owner.call("publish", "set", file.path, sharing!, bench.device);
            rates.library.push(gigabytesPerSecond(file.bytes, seconds));
            await owner.call("retire", "set");
          };
          bench.step("warm-up");
          await alternate(1, [byFloor, byLibrary]);
          for (const list of Object.values(rates)) list.length = 0;
          bench.step(`${rounds} rounds`);
          await alternate(rounds, [byFloor, byLibrary]);
          await owner.call("publish", "set", file.path, sharing!, bench.device);
          await checkContent({ set: "set", socket, device: bench.device }, file.path);
        },
        { loading: "inline" },
      );
      await floor.end();
    } finally {
      floor.kill();
    }
    const labels = { sharing: sharing!, bytes: file.bytes, cache: "page cache" };
    bench.record("cuda-ipc", "load", "GB/s", labels, rates.library);
    const floorLabels = { ...labels, threads: floorThreads() };
    bench.record("floor", "load", "GB/s", floorLabels, rates.floor);
    bench.record("floor", "load, pinning included", "GB/s", floorLabels, rates.pinning);
    bench.record(
      "cuda-ipc",
      "load, by a process of its own",
      "GB/s",
      labels,
      await byProcess(bench, file, sharing!),
    );
    const peer = await runPython<{ bytes: number; seconds: number }>(
      bench,
      "safetensors",
      "safetensors_load.py",
      [file.path, bench.device, peerRounds],
      90,
    );
    if (peer === undefined) return;
    const peerRates = peer.map(({ bytes, seconds }) => gigabytesPerSecond(bytes, seconds));
    bench.record("safetensors", "load", "GB/s", { bytes: file.bytes, cache: "page cache" }, peerRates);
  },
};
