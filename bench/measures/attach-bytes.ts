import { rm } from "node:fs/promises";
import { cudaGetDeviceProperties } from "../../lib/index.js";
import { measureLatency } from "../attach/latency.js";
import type { Measure } from "../suite/bench.js";
import { sparseDataset } from "../suite/dataset.js";
import { recordAttach } from "./attach.js";
import { sharings, withOwner } from "./session.js";

/** Few: this is about bytes. */
const tensors = 16;

export const attachBytes: Measure = {
  name: "attach-bytes",
  title: "attach time against bytes, beside the same driver calls in C++",
  limitSeconds: 240,
  peers: ["floor"],
  async run(bench) {
    const { bytes: sizes, samples, repeats } = bench.profile.attachBytes;
    const { totalBytes } = await cudaGetDeviceProperties({ device: bench.device });
    await withOwner(bench, async ({ owner, socket }) => {
      for (const size of sizes) {
        // The floor's exporter has as much again.
        if (2 * size > 0.9 * totalBytes) {
          bench.note(`${size} bytes were left out: twice that does not fit the device.`);
          continue;
        }
        bench.step(`${size} bytes`);
        const file = await sparseDataset(bench, size, tensors);
        for (const sharing of await sharings(bench)) {
          const { bytes } = await owner.call("publish", sharing, file.path, sharing, bench.device);
          const at = { set: sharing, socket, device: bench.device };
          const found = await measureLatency({
            driver: bench.driver,
            sharing,
            bytes,
            floor: bench.built("floor"),
            samples,
            repeats,
            ...at,
          });
          recordAttach(bench, { sharing, bytes: size }, found);
          await owner.call("retire", sharing);
        }
        await rm(file.path);
      }
    });
  },
};
