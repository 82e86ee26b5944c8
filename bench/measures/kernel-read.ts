import type { KernelReaderCommands } from "../actors/kernel-reader.js";
import { Child } from "../common/child.js";
import type { Measure } from "../suite/bench.js";
import { mainSet } from "../suite/dataset.js";
import { actor, gigabytesPerSecond, sharings, withOwner } from "./session.js";

export const kernelRead: Measure = {
  name: "kernel-read",
  title: "a kernel's read bandwidth on mapped memory, and on memory of its process's own",
  limitSeconds: 120,
  async run(bench) {
    const file = await mainSet(bench);
    await withOwner(bench, async ({ owner, socket }) => {
      for (const sharing of await sharings(bench)) {
        bench.step(sharing);
        await owner.call("publish", sharing, file.path, sharing, bench.device);
        const reader = new Child<KernelReaderCommands>(actor("kernel-reader"));
        try {
          await reader.call("initialize", bench.device);
          const { samples } = bench.profile.kernelRead;
          const { bytes, mapped, own } = await reader.call("read", sharing, socket, bench.device, samples);
          const rates = (times: number[]) => times.map((time) => gigabytesPerSecond(bytes, time / 1e3));
          bench.record("cuda-ipc", "mapped", "GB/s", { sharing, bytes }, rates(mapped));
          bench.record("cuda-ipc", "own", "GB/s", { sharing, bytes }, rates(own));
          await reader.end();
        } finally {
          reader.kill();
        }
        await owner.call("retire", sharing);
      }
    });
  },
};
