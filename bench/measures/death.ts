import type { OwnerCommands } from "../actors/owner.js";
import { measureDeaths } from "../attach/deaths.js";
import { startWorker } from "../attach/latency.js";
import type { Child } from "../common/child.js";
import { millisecondsBetween } from "../common/clock.js";
import { compilePeer } from "../common/compile.js";
import { LineProgram } from "../common/line-program.js";
import type { Bench, Measure } from "../suite/bench.js";
import { sparseDataset } from "../suite/dataset.js";
import { bytesInUse, whenAtMost } from "./device-memory.js";
import { runPython } from "./python.js";
import { type Sharing, sharings, withOwner } from "./session.js";

/** As in memory.ts: between two moments; a leaked set is far above this. */
const slack = 1 << 20;

export const death: Measure = {
  name: "death",
  title: "SIGKILL of a worker: until the ledger shows it, until its memory is free",
  limitSeconds: 180,
  needs: ["deathwatch"],
  async run(bench) {
    const { kills, frees, bytes } = bench.profile.death;
    const file = await sparseDataset(bench, bytes, 16);
    await withOwner(bench, async ({ owner, socket }) => {
      // Before the first look at the device's memory: `ipc` brings its context up later otherwise.
      await owner.call("initialize", bench.device);
      for (const sharing of await sharings(bench)) {
        await owner.call("publish", sharing, file.path, sharing, bench.device);
        const at = { set: sharing, socket, device: bench.device };
        const onRound = (round: number) => bench.step(`${sharing}, kill ${round + 1} of ${kills}`);
        const deaths = await measureDeaths(owner, { ...at, kills, onRound });
        const record = (what: string, of: "killToPidfd" | "killToLedger" | "pidfdToLedger") =>
          bench.record(
            "cuda-ipc",
            what,
            "ms",
            { sharing },
            deaths.map((sample) => sample[of]),
          );
        record("kill to pidfd", "killToPidfd");
        record("kill to ledger", "killToLedger");
        record("pidfd to ledger", "pidfdToLedger");
        await owner.call("retire", sharing);
        bench.step(`${sharing}, memory`);
        await recordFreeing(bench, owner, { ...at, sharing, file: file.path, frees });
      }
    });
  },
};

interface FreePlan {
  set: string;
  socket: string;
  device: number;
  sharing: Sharing;
  file: string;
  frees: number;
}

/** The killed worker holds the last lease of a withdrawn version: its death is what frees the memory. */
async function recordFreeing(bench: Bench, owner: Child<OwnerCommands>, plan: FreePlan): Promise<void> {
  const { set, socket, device, sharing, file, frees } = plan;
  const watch = new LineProgram(await compilePeer("deathwatch"));
  const toOwner: number[] = [];
  const toDevice: number[] = [];
  const left: number[] = [];
  try {
    for (let round = 0; round < frees; round++) {
      const before = await bytesInUse(device);
      await owner.call("publish", set, file, sharing, device);
      const worker = await startWorker(device);
      try {
        await worker.call("hold", set, socket);
        await owner.call("retireWhileHeld", set);
        watch.send(String(worker.pid));
        const { killedAt } = await watch.read<{ killedAt: string }>();
        const seen = await whenAtMost(device, before + slack, 20);
        toDevice.push(millisecondsBetween(BigInt(killedAt), seen));
        toOwner.push(millisecondsBetween(BigInt(killedAt), await owner.call("freedAt")));
        left.push(Math.max(0, (await bytesInUse(device)) - before));
      } finally {
        worker.kill();
      }
    }
    await watch.end();
  } finally {
    watch.kill();
  }
  bench.record("cuda-ipc", "kill to freed by the owner", "ms", { sharing }, toOwner);
  bench.record("cuda-ipc", "kill to memory free on the device", "ms", { sharing }, toDevice);
  bench.record("cuda-ipc", "left after a killed consumer", "bytes", { sharing }, left);
}

export const deathPeers: Measure = {
  name: "death-peers",
  title: "what stays allocated in a PyTorch producer whose consumer is killed",
  limitSeconds: 120,
  async run(bench) {
    const { leakBytes, leakRounds } = bench.profile.death;
    const args = [leakBytes, bench.device, leakRounds];
    const found = await runPython<{ shared: number; left: number }>(
      bench,
      "PyTorch",
      "pytorch_leak.py",
      args,
      100,
    );
    if (found === undefined) return;
    const left = found.map((sample) => sample.left);
    bench.record("PyTorch", "left after a killed consumer", "bytes", { bytes: leakBytes }, left);
  },
};
