import type { StreamerCommands } from "../actors/streamer.js";
import { alternate } from "../common/alternate.js";
import { Child } from "../common/child.js";
import type { Bench, Measure } from "../suite/bench.js";
import { mainSet } from "../suite/dataset.js";
import { floorThreads } from "./load.js";
import { LoadFloor } from "./load-floor.js";
import { actor, gigabytesPerSecond } from "./session.js";

interface Point {
  label: "threads" | "chunkBytes";
  value: number;
}

export const loadThreads: Measure = {
  name: "load-threads",
  title: "copying rate against reader threads, from the page cache",
  limitSeconds: 150,
  peers: ["loadfloor"],
  run: (bench) => {
    const { threads, rounds } = bench.profile.loadThreads;
    return compare(
      bench,
      rounds,
      threads.map((value): Point => ({ label: "threads", value })),
    );
  },
};

export const loadChunks: Measure = {
  name: "load-chunks",
  title: "copying rate against the size of a staging chunk, from the page cache",
  limitSeconds: 120,
  peers: ["loadfloor"],
  run: (bench) => {
    const { chunkBytes, rounds } = bench.profile.loadChunks;
    return compare(
      bench,
      rounds,
      chunkBytes.map((value): Point => ({ label: "chunkBytes", value })),
    );
  },
};

/** The copying alone, into memory that is there already: what threads and chunks have a say in. */
async function compare(bench: Bench, rounds: number, points: readonly Point[]): Promise<void> {
  const file = await mainSet(bench);
  const streamer = new Child<StreamerCommands>(actor("streamer"));
  const floor = bench.built("loadfloor")
    ? await LoadFloor.start(bench.driver, "ipc", bench.device)
    : undefined;
  try {
    await streamer.call("open", file.path, bench.device);
    for (const { label, value } of points) {
      bench.step(`${label} ${value}`);
      const rates = { floor: [] as number[], library: [] as number[] };
      const byFloor = async () => {
        const { bytes, parts } = await floor!.load(file, { threads: floorThreads(), [label]: value });
        rates.floor.push(gigabytesPerSecond(bytes, parts.copy / 1e3));
      };
      const byLibrary = async () => {
        const { bytes, seconds } = await streamer.call("stream", bench.device, { [label]: value });
        rates.library.push(gigabytesPerSecond(bytes, seconds));
      };
      await alternate(rounds + 1, floor !== undefined ? [byFloor, byLibrary] : [byLibrary]);
      bench.record("cuda-ipc", "copying", "GB/s", { [label]: value }, rates.library.slice(1));
      if (floor !== undefined)
        bench.record("floor", "copying", "GB/s", { [label]: value }, rates.floor.slice(1));
    }
    await streamer.end();
    await floor?.end();
  } finally {
    streamer.kill();
    floor?.kill();
  }
}
