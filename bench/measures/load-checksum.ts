import type { StreamerCommands } from "../actors/streamer.js";
import { alternate } from "../common/alternate.js";
import { Child } from "../common/child.js";
import type { Measure } from "../suite/bench.js";
import { mainSet } from "../suite/dataset.js";
import { actor, gigabytesPerSecond } from "./session.js";

export const loadChecksum: Measure = {
  name: "load-checksum",
  title: "copying with and without the checksum that rides along, and the checksum in a pass of its own",
  limitSeconds: 90,
  async run(bench) {
    const { rounds } = bench.profile.load;
    const file = await mainSet(bench);
    const streamer = new Child<StreamerCommands>(actor("streamer"));
    const rates = { without: [] as number[], with: [] as number[], alone: [] as number[] };
    try {
      await streamer.call("open", file.path, bench.device);
      const stream = async (checksum: boolean) => {
        const { bytes, callSeconds } = await streamer.call("stream", bench.device, { checksum });
        rates[checksum ? "with" : "without"].push(gigabytesPerSecond(bytes, callSeconds));
      };
      const alone = async () => {
        const seconds = await streamer.call("checksum", bench.device);
        rates.alone.push(gigabytesPerSecond(file.bytes, seconds));
      };
      bench.step(`${rounds} rounds`);
      await alternate(rounds + 1, [() => stream(false), () => stream(true), alone]);
      await streamer.end();
    } finally {
      streamer.kill();
    }
    const labels = { bytes: file.bytes };
    bench.record("cuda-ipc", "copying", "GB/s", labels, rates.without.slice(1));
    bench.record("cuda-ipc", "copying with checksum", "GB/s", labels, rates.with.slice(1));
    bench.record("cuda-ipc", "checksum alone", "GB/s", labels, rates.alone.slice(1));
  },
};
