import { alternate } from "../common/alternate.js";
import type { Measure } from "../suite/bench.js";
import { dataset } from "../suite/dataset.js";
import { floorThreads } from "./load.js";
import { LoadFloor } from "./load-floor.js";
import { gigabytesPerSecond, sharings, withOwner } from "./session.js";

export const loadSize: Measure = {
  name: "load-size",
  title: "load rate against file size, from the page cache",
  limitSeconds: 120,
  peers: ["loadfloor"],
  async run(bench) {
    const { bytes: sizes, rounds } = bench.profile.loadSize;
    const [sharing] = await sharings(bench);
    const floor = bench.built("loadfloor")
      ? await LoadFloor.start(bench.driver, sharing!, bench.device)
      : undefined;
    try {
      await withOwner(
        bench,
        async ({ owner }) => {
          for (const size of sizes) {
            const file = await dataset(bench, size, bench.profile.set.tensors);
            bench.step(`${size} bytes`);
            const rates = { floor: [] as number[], library: [] as number[] };
            // One more round than is kept: the first is a warm-up.
            const byFloor = async () => {
              const { bytes, total } = await floor!.load(file, { threads: floorThreads() });
              rates.floor.push(gigabytesPerSecond(bytes, total / 1e3));
            };
            const byLibrary = async () => {
              const { seconds } = await owner.call("publish", "set", file.path, sharing!, bench.device);
              rates.library.push(gigabytesPerSecond(file.bytes, seconds));
              await owner.call("retire", "set");
            };
            await alternate(rounds + 1, floor !== undefined ? [byFloor, byLibrary] : [byLibrary]);
            const labels = { sharing: sharing!, bytes: file.bytes };
            bench.record("cuda-ipc", "load", "GB/s", labels, rates.library.slice(1));
            if (floor !== undefined) bench.record("floor", "load", "GB/s", labels, rates.floor.slice(1));
          }
        },
        { loading: "inline" },
      );
      await floor?.end();
    } finally {
      floor?.kill();
    }
  },
};
