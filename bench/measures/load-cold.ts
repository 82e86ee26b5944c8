import type { OwnerCommands } from "../actors/owner.js";
import { alternate } from "../common/alternate.js";
import type { Child } from "../common/child.js";
import { type Measure, Skip } from "../suite/bench.js";
import { mainSet } from "../suite/dataset.js";
import { FileCache } from "./file-cache.js";
import { libraryReads } from "./library-reads.js";
import { gigabytesPerSecond, sharings, withOwner } from "./session.js";

/** It leaves the set out of the page cache, so it comes last. */
export const loadCold: Measure = {
  name: "load-cold",
  title: "load rate of a file that is not in memory, beside direct reads of the disk",
  // A disk of 0.4 GB/s is not a hang.
  limitSeconds: 300,
  needs: ["filecache"],
  async run(bench) {
    const { rounds } = bench.profile.loadCold;
    const file = await mainSet(bench);
    const [sharing] = await sharings(bench);
    const cache = await FileCache.start();
    const reads = libraryReads(file.bytes);
    const { threads } = reads;
    const rates = { disk: [] as number[], library: [] as number[], buffered: [] as number[] };
    const drop = async () => {
      if ((await cache.drop(file.path)) > 0.01)
        throw new Skip("The file stays in memory when it is dropped: --dir must name a folder on a disk.");
    };
    const load = async (owner: Child<OwnerCommands>, io: "auto" | "buffered") => {
      await drop();
      const options = { io, threads };
      const { seconds } = await owner.call("publish", "set", file.path, sharing!, bench.device, options);
      await owner.call("retire", "set");
      return gigabytesPerSecond(file.bytes, seconds);
    };
    try {
      await withOwner(
        bench,
        async ({ owner }) => {
          // One more round than is kept: the first is a warm-up.
          await alternate(
            rounds + 1,
            [
              async () => {
                await drop();
                const rate = await cache.direct(file.path, reads);
                if (rate === undefined) throw new Skip("The file system of --dir has no direct reads.");
                rates.disk.push(rate / 1e9);
              },
              async () => rates.library.push(await load(owner, "auto")),
              async () => rates.buffered.push(await load(owner, "buffered")),
            ],
            (round) => bench.step(round === 0 ? "warm-up" : `round ${round} of ${rounds}`),
          );
        },
        { loading: "inline" },
      );
      await cache.end();
    } finally {
      cache.kill();
    }
    const labels = { bytes: file.bytes, cache: "cold", sharing: sharing!, threads };
    bench.record("cuda-ipc", "load", "GB/s", labels, rates.library.slice(1));
    bench.record("cuda-ipc", "load, buffered", "GB/s", labels, rates.buffered.slice(1));
    const { sharing: _, ...disk } = { ...labels, ...reads };
    bench.record("disk", "direct reads", "GB/s", disk, rates.disk.slice(1));
  },
};
