import { checkContent } from "../attach/content.js";
import { measureLatency, measureRoundTrips, type Sample } from "../attach/latency.js";
import { measureStraight } from "../attach/straight.js";
import type { Bench, Measure } from "../suite/bench.js";
import { mainSet } from "../suite/dataset.js";
import type { Labels } from "../suite/results.js";
import { sharings, withOwner } from "./session.js";

export const attach: Measure = {
  name: "attach",
  title: "the set into a worker that has CUDA up, beside the same driver calls in C++",
  limitSeconds: 150,
  peers: ["floor"],
  async run(bench) {
    const { samples: rounds, repeats, rested } = bench.profile.attach;
    const file = await mainSet(bench);
    await withOwner(bench, async ({ owner, socket }) => {
      for (const sharing of await sharings(bench)) {
        const { bytes } = await owner.call("publish", sharing, file.path, sharing, bench.device);
        const at = { set: sharing, socket, device: bench.device };
        await checkContent(at, file.path);
        const onRound = (round: number) => bench.step(`${sharing}, round ${round + 1} of ${rounds}`);
        const plan = {
          driver: bench.driver,
          sharing,
          bytes,
          floor: bench.built("floor"),
          samples: rounds,
          repeats,
          rested,
          asking: true,
          ...at,
          onRound,
        };
        const samples = await measureLatency(plan);
        recordAttach(bench, { sharing }, samples);
        recordSteps(bench, { sharing }, samples);
        bench.record(
          "cuda-ipc",
          "attach",
          "ms",
          { sharing, kind: "at once" },
          await measureStraight(at, rounds),
        );
        bench.record("cuda-ipc", "round trip", "ms", { sharing }, await measureRoundTrips(at, 200));
        await owner.call("retire", sharing);
      }
    });
  },
};

const names = {
  attach: "attach",
  bare: "attach, bare",
  floor: "attach",
  asking: "attach, asking over a socket",
};

/** Attaches and detaches of both sides, first and repeated. */
export function recordAttach(bench: Bench, labels: Labels, samples: readonly Sample[]): void {
  for (const of of ["attach", "bare", "floor", "asking"] as const) {
    for (const kind of ["first", "repeated", "rested"] as const) {
      const chosen = samples.filter((sample) => sample.of === of && sample.kind === kind);
      if (chosen.length === 0) continue;
      const by = of === "attach" || of === "bare" ? "cuda-ipc" : "floor";
      const milliseconds = chosen.map((sample) => sample.milliseconds);
      bench.record(by, names[of], "ms", { ...labels, kind }, milliseconds);
      if (of === "asking" || of === "bare") continue;
      const detaches = chosen.map(({ detach }) => detach!);
      bench.record(by, "detach", "ms", { ...labels, kind }, detaches);
    }
  }
}

/** Of first attaches: what the time went into, step by step, as each side tells it. */
function recordSteps(bench: Bench, labels: Labels, samples: readonly Sample[]): void {
  for (const of of ["attach", "floor"] as const) {
    const chosen = samples.filter((sample) => sample.of === of && sample.kind === "first");
    for (const step of Object.keys(chosen[0]?.parts ?? {})) {
      const times = chosen.map(({ parts }) => parts![step]!);
      const by = of === "floor" ? "floor" : "cuda-ipc";
      bench.record(by, `of which ${step}`, "ms", { ...labels, kind: "first" }, times);
    }
  }
}
