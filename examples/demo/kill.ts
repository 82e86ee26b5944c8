import type { Version } from "../../lib/index.js";
import type { ClusterWorker } from "./cluster-worker.js";
import type { WorkerPool } from "./worker-pool.js";

/** Long enough for any machine; a count that never comes must not hang the demo. */
const patience = (): AbortSignal => AbortSignal.timeout(60_000);

export const reaches = (version: Version, count: number): Promise<number> =>
  version.waitForRefCount((now) => now === count, patience());

export interface KillResult {
  victim: ClusterWorker;
  replacement: ClusterWorker;
  inFlightAtKill: number;
  afterKill: number;
  afterRestart: number;
  /** From the kill to the owner's ledger. */
  ledgerMs: number;
  /** From the kill to the replacement's first readiness. */
  replacedMs: number;
}

/** Kills the worker with the most requests under way, and puts another one in its place. */
export async function killAndReplace(pool: WorkerPool, version: Version): Promise<KillResult> {
  const [victim] = pool.serving.sort((a, b) => b.inFlight - a.inFlight);
  const workers = pool.serving.length;
  const inFlightAtKill = victim!.inFlight;
  const killed = performance.now();
  victim!.kill();
  const afterKill = await reaches(version, workers - 1);
  const ledgerMs = performance.now() - killed;
  const replacement = await pool.start();
  const replacedMs = performance.now() - killed;
  const afterRestart = await reaches(version, workers);
  return { victim: victim!, replacement, inFlightAtKill, afterKill, afterRestart, ledgerMs, replacedMs };
}
