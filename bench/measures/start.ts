import { spawn } from "node:child_process";
import { once } from "node:events";
import { Floor } from "../attach/floor.js";
import { millisecondsBetween, now } from "../common/clock.js";
import type { Bench, Measure } from "../suite/bench.js";
import { sparseDataset } from "../suite/dataset.js";
import { actor, alternate, sharings, withOwner } from "./session.js";

const parts = ["node", "modules", "attach", "kernels", "kernel"] as const;

export const start: Measure = {
  name: "start",
  title: "from the start of a process to its first kernel on the weights, beside a C++ program",
  limitSeconds: 120,
  peers: ["floor"],
  async run(bench) {
    const { samples } = bench.profile.start;
    const file = await sparseDataset(bench, bench.profile.attachConcurrent.bytes, bench.profile.set.tensors);
    await withOwner(bench, async ({ owner, socket }) => {
      for (const sharing of await sharings(bench)) {
        bench.step(sharing);
        const { bytes } = await owner.call("publish", sharing, file.path, sharing, bench.device);
        const floor = await Floor.start({ driver: bench.driver, sharing, bytes, device: bench.device });
        const times = { floor: [] as number[], library: [] as number[] };
        const inside = parts.map((): number[] => []);
        try {
          await alternate(samples + 1, [
            async () => times.floor.push((await floor.start()).milliseconds),
            async () => {
              const { total, steps } = await startOne(bench, socket, sharing);
              times.library.push(total);
              steps.forEach((step, i) => {
                inside[i]!.push(step);
              });
            },
          ]);
          await floor.end();
        } finally {
          floor.kill();
        }
        bench.record("cuda-ipc", "start to first kernel", "ms", { sharing }, times.library.slice(1));
        bench.record("floor", "start to first kernel", "ms", { sharing }, times.floor.slice(1));
        inside.forEach((list, i) => {
          bench.record("cuda-ipc", `of which ${parts[i]}`, "ms", { sharing }, list.slice(1));
        });
        await owner.call("retire", sharing);
      }
    });
  },
};

async function startOne(
  bench: Bench,
  socket: string,
  set: string,
): Promise<{ total: number; steps: number[] }> {
  const before = now();
  const child = spawn(process.execPath, [actor("starter"), socket, set, String(bench.device)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`The starting process ended with ${code}.`);
  const times = (JSON.parse(output) as string[]).map(BigInt);
  const steps = times.map((time, i) => millisecondsBetween(i === 0 ? before : times[i - 1]!, time));
  return { total: millisecondsBetween(before, times.at(-1)!), steps };
}
