import os from "node:os";
import { checkContent } from "../attach/content.js";
import { alternate } from "../common/alternate.js";
import type { Bench, Measure } from "../suite/bench.js";
import { type Dataset, mainSet } from "../suite/dataset.js";
import { FileCache } from "./file-cache.js";
import { LoadFloor } from "./load-floor.js";
import { runPython } from "./python.js";
import { gigabytesPerSecond, type Sharing, sharings, withOwner } from "./session.js";

/** As many reader threads as the floor repays: 12 at most, see bench/README.md. */
export const floorThreads = (): number => Math.min(Math.max(os.cpus().length, 2), 12);

export const load: Measure = {
  name: "load",
  title: "the set, page cache to device, beside the C++ floor and safetensors",
  limitSeconds: 150,
  peers: ["filecache", "loadfloor"],
  async run(bench) {
    const file = await mainSet(bench);
    await warm(bench, file);
    const [sharing] = await sharings(bench);
    await inTurn(bench, file, sharing!);
    await byProcess(bench, file, sharing!);
    await bySafetensors(bench, file);
  },
};

async function warm(bench: Bench, file: Dataset): Promise<void> {
  if (!bench.built("filecache")) {
    bench.note("Whether the file was in the page cache was not looked at: it had just been written.");
    return;
  }
  const cache = await FileCache.start();
  try {
    if ((await cache.warm(file.path)) < 1) bench.note("Part of the file did not stay in the page cache.");
    await cache.end();
  } finally {
    cache.kill();
  }
}

const labelsOf = (file: Dataset, sharing: Sharing) => ({ sharing, bytes: file.bytes, cache: "page cache" });

/** The library and the floor, a load each in every round. */
async function inTurn(bench: Bench, file: Dataset, sharing: Sharing): Promise<void> {
  const { rounds } = bench.profile.load;
  const floor = bench.built("loadfloor")
    ? await LoadFloor.start(bench.driver, sharing, bench.device)
    : undefined;
  const rates = { floor: [] as number[], library: [] as number[] };
  const byFloor = async (into: number[]) => {
    const { bytes, total } = await floor!.load(file, { threads: floorThreads() });
    into.push(gigabytesPerSecond(bytes, total / 1e3));
  };
  const pinning: number[] = [];
  try {
    await withOwner(
      bench,
      async ({ owner, socket }) => {
        const byLibrary = async () => {
          const { seconds } = await owner.call("publish", "set", file.path, sharing, bench.device);
          rates.library.push(gigabytesPerSecond(file.bytes, seconds));
          await owner.call("retire", "set");
        };
        // One more round than is kept: the first is a warm-up, in which both pin.
        await alternate(
          rounds + 1,
          [...(floor !== undefined ? [() => byFloor(rates.floor)] : []), byLibrary],
          (round) => bench.step(round === 0 ? "warm-up" : `round ${round} of ${rounds}`),
        );
        await owner.call("publish", "set", file.path, sharing, bench.device);
        await checkContent({ set: "set", socket, device: bench.device }, file.path);
      },
      { loading: "inline" },
    );
    // Apart: in the rounds, a load of the floor would always follow one of its own, and a load of the library never.
    for (let round = 0; floor !== undefined && round < bench.profile.load.peerRounds; round++) {
      floor.forget();
      await byFloor(pinning);
    }
    await floor?.end();
  } finally {
    floor?.kill();
  }
  const labels = labelsOf(file, sharing);
  bench.record("cuda-ipc", "load", "GB/s", labels, rates.library.slice(1));
  if (floor === undefined) return;
  const floorLabels = { ...labels, threads: floorThreads() };
  bench.record("floor", "load", "GB/s", floorLabels, rates.floor.slice(1));
  bench.record("floor", "load, pinning included", "GB/s", floorLabels, pinning);
}

/** The default for "vmm": the time has the start of the process that loads, and of CUDA in it. */
async function byProcess(bench: Bench, file: Dataset, sharing: Sharing): Promise<void> {
  const rates: number[] = [];
  await withOwner(bench, async ({ owner }) => {
    // The first one, a warm-up, finds the program in no cache.
    for (let round = 0; round <= bench.profile.load.peerRounds; round++) {
      bench.step(`by a process of its own, round ${round}`);
      const { seconds } = await owner.call("publish", "set", file.path, sharing, bench.device);
      if (round > 0) rates.push(gigabytesPerSecond(file.bytes, seconds));
      await owner.call("retire", "set");
    }
  });
  bench.record("cuda-ipc", "load, by a process of its own", "GB/s", labelsOf(file, sharing), rates);
}

async function bySafetensors(bench: Bench, file: Dataset): Promise<void> {
  const args = [file.path, bench.device, bench.profile.load.peerRounds];
  const loads = await runPython<{ bytes: number; seconds: number }>(
    bench,
    "safetensors",
    "safetensors_load.py",
    args,
    90,
  );
  if (loads === undefined) return;
  const rates = loads.map(({ bytes, seconds }) => gigabytesPerSecond(bytes, seconds));
  bench.record("safetensors", "load", "GB/s", { bytes: file.bytes, cache: "page cache" }, rates);
}
