import path from "node:path";
import { compilePeer } from "../common/compile.js";
import { packageRoot } from "../common/paths.js";
import type { Measure } from "./bench.js";
import type { Results } from "./results.js";

/** Builds the peers in C++ now: a compiler in the middle of a measure would count. */
export async function preparePeers(measures: readonly Measure[]): Promise<void> {
  const peers = new Set(measures.flatMap((measure) => measure.peers ?? []));
  if (peers.size > 0)
    process.stderr.write("Building the peers in C++ where that has not been done yet ...\n");
  for (const peer of peers) await compilePeer(peer);
}

/** bench/results/<date>-<gpu> */
export function resultsFolder({ driver, quick, runs }: Results): string {
  const { at, machine } = runs[0]!;
  const gpu = driver === "host" ? "host-driver" : machine.gpu.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return path.join(packageRoot, "bench", "results", `${at.slice(0, 10)}-${gpu}${quick ? "-quick" : ""}`);
}
