import { spawn } from "node:child_process";
import { once } from "node:events";
import { earlyStart } from "../../lib/index.js";
import { Floor } from "../attach/floor.js";
import { alternate } from "../common/alternate.js";
import { millisecondsBetween, now } from "../common/clock.js";
import type { Bench, Measure } from "../suite/bench.js";
import { sparseDataset } from "../suite/dataset.js";
import { actor, sharings, withOwner } from "./session.js";

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
        const floor = bench.built("floor")
          ? await Floor.start({ driver: bench.driver, sharing, bytes, device: bench.device })
          : undefined;
        const floorTimes: number[] = [];
        const plain = new Starts();
        const early = new Starts();
        try {
          await alternate(samples + 1, [
            ...(floor !== undefined ? [async () => floorTimes.push((await floor.start()).milliseconds)] : []),
            () => plain.add(startOne(bench, socket, sharing)),
            () => early.add(startOne(bench, socket, sharing, earlyStart({ device: bench.device }))),
          ]);
          await floor?.end();
        } finally {
          floor?.kill();
        }
        plain.record(bench, sharing, "");
        if (floor !== undefined)
          bench.record("floor", "start to first kernel", "ms", { sharing }, floorTimes.slice(1));
        early.record(bench, sharing, ", CUDA begun early");
        await owner.call("retire", sharing);
      }
    });
  },
};

interface Start {
  total: number;
  /** Milliseconds of each part. */
  steps: number[];
}

/** Of one kind; the first one warms up. */
class Starts {
  private readonly all: Start[] = [];

  async add(start: Promise<Start>): Promise<void> {
    this.all.push(await start);
  }

  record(bench: Bench, sharing: string, how: string): void {
    const counted = this.all.slice(1);
    const totals = counted.map(({ total }) => total);
    bench.record("cuda-ipc", `start to first kernel${how}`, "ms", { sharing }, totals);
    parts.forEach((part, i) => {
      const times = counted.map(({ steps }) => steps[i]!);
      bench.record("cuda-ipc", `of which ${part}${how}`, "ms", { sharing }, times);
    });
  }
}

async function startOne(
  bench: Bench,
  socket: string,
  set: string,
  env: Record<string, string> = {},
): Promise<Start> {
  const before = now();
  const child = spawn(process.execPath, [actor("starter"), socket, set, String(bench.device)], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
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
