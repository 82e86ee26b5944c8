import { attachInFreshProcess, type Sample } from "../attach/latency.js";
import type { Measure } from "../suite/bench.js";
import { sparseDataset } from "../suite/dataset.js";
import { recordAttach } from "./attach.js";
import { sharings, withOwner } from "./session.js";

export const attachTensors: Measure = {
  name: "attach-tensors",
  title: "attach time against the number of tensors",
  limitSeconds: 150,
  async run(bench) {
    const { counts, bytes, samples, repeats } = bench.profile.attachTensors;
    await withOwner(bench, async ({ owner, socket }) => {
      for (const tensors of counts) {
        bench.step(`${tensors} tensors`);
        const file = await sparseDataset(bench, bytes, tensors);
        for (const sharing of await sharings(bench)) {
          await owner.call("publish", sharing, file.path, sharing, bench.device);
          const found: Sample[] = [];
          const pointers: number[] = [];
          const plan = { set: sharing, socket, device: bench.device, repeats };
          for (let round = 0; round < samples; round++) {
            const attached = await attachInFreshProcess(plan, async (worker) => {
              pointers.push(await worker.call("allPointers", sharing, socket));
            });
            found.push(...attached);
          }
          recordAttach(bench, { sharing, tensors }, found);
          bench.record("cuda-ipc", "every pointer", "ms", { sharing, tensors }, pointers);
          await owner.call("retire", sharing);
        }
      }
    });
  },
};
