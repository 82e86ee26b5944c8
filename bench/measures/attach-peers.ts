import type { Bench, Measure } from "../suite/bench.js";
import { mainSet } from "../suite/dataset.js";
import { runPython } from "./python.js";
import { wholeBlocks } from "./whole-blocks.js";

interface Opened {
  how?: "loads" | "queue";
  kind: "first" | "repeated";
  milliseconds: number;
}

export const attachPeers: Measure = {
  name: "attach-peers",
  title: "what other libraries take to open another process's memory",
  limitSeconds: 300,
  async run(bench) {
    const { peerConsumers, peerRepeats } = bench.profile.attach;
    const file = await mainSet(bench);
    const counts = [bench.device, peerConsumers, peerRepeats];
    const torch = await runPython<Opened>(bench, "PyTorch", "pytorch_attach.py", [file.path, ...counts], 120);
    const loads = (torch ?? []).filter(({ how }) => how === "loads");
    record(bench, "PyTorch", "ForkingPickler.loads", loads, file.bytes);
    const queued = (torch ?? []).filter(({ how }) => how === "queue");
    record(bench, "PyTorch", "through a Queue", queued, file.bytes);
    for (const [peer, script, what] of [
      ["CuPy", "cupy_open.py", "ipcOpenMemHandle"],
      ["Numba", "numba_open.py", "IpcArrayHandle.open"],
      ["cuda.core", "cuda_core_open.py", "pool and Buffer.from_ipc_descriptor"],
    ] as const) {
      const allocated = wholeBlocks(file.bytes);
      const opened = await runPython<Opened>(bench, peer, script, [allocated, ...counts], 60);
      record(bench, peer, what, opened ?? [], file.bytes);
    }
  },
};

function record(bench: Bench, peer: string, what: string, samples: readonly Opened[], bytes: number): void {
  for (const kind of ["first", "repeated"] as const) {
    const times = samples.filter((sample) => sample.kind === kind).map(({ milliseconds }) => milliseconds);
    if (times.length > 0) bench.record(peer, what, "ms", { kind, bytes }, times);
  }
}
