import type { OwnerCommands } from "../actors/owner.js";
import type { Child } from "../common/child.js";
import { type Measure, Skip } from "../suite/bench.js";
import { dataset } from "../suite/dataset.js";
import { FileCache } from "./file-cache.js";
import { floorThreads } from "./load.js";
import { alternate, gigabytesPerSecond, sharings, withOwner } from "./session.js";

export const loadCold: Measure = {
  name: "load-cold",
  title: "load rate of a file that is not in memory, beside direct reads of the disk",
  limitSeconds: 180,
  peers: ["filecache"],
  async run(bench) {
    const { bytes, rounds } = bench.profile.loadCold;
    const file = await dataset(bench, bytes, bench.profile.set.tensors);
    const [sharing] = await sharings(bench);
    const cache = await FileCache.start();
    const rates = { disk: [] as number[], library: [] as number[], buffered: [] as number[] };
    const drop = async () => {
      if ((await cache.drop(file.path)) > 0.01)
        throw new Skip("The file stays in memory when it is dropped: --dir must name a folder on a disk.");
    };
    const load = async (owner: Child<OwnerCommands>, io: "auto" | "buffered") => {
      await drop();
      const { seconds } = await owner.call("publish", "set", file.path, sharing!, bench.device, { io });
      await owner.call("retire", "set");
      return gigabytesPerSecond(file.bytes, seconds);
    };
    try {
      await withOwner(
        bench,
        async ({ owner }) => {
          await alternate(rounds, [
            async () => {
              await drop();
              const rate = await cache.direct(file.path, floorThreads());
              if (rate === undefined) throw new Skip("The file system of --dir has no direct reads.");
              rates.disk.push(rate / 1e9);
            },
            async () => rates.library.push(await load(owner, "auto")),
            async () => rates.buffered.push(await load(owner, "buffered")),
          ]);
        },
        { loading: "inline" },
      );
      await cache.end();
    } finally {
      cache.kill();
    }
    const labels = { bytes: file.bytes, cache: "cold" };
    bench.record("cuda-ipc", "load", "GB/s", { ...labels, sharing: sharing! }, rates.library);
    bench.record("cuda-ipc", "load, buffered", "GB/s", { ...labels, sharing: sharing! }, rates.buffered);
    bench.record("disk", "direct reads", "GB/s", { ...labels, threads: floorThreads() }, rates.disk);
  },
};
