import type { ClusterWorker } from "./cluster-worker.js";
import { countWrong, type Reference } from "./reference.js";
import type { WorkerPool } from "./worker-pool.js";

export interface TrafficPlan {
  requests: number;
  /** Requests under way at once. */
  concurrency: number;
  references: readonly Reference[];
  /** The version that every answer must come from. */
  version: string;
  /** Called after each answer, with the number of answers so far. */
  onAnswer?: (answered: number) => void;
  /** The requests from this number on wait for `gate`. */
  gatedFrom: number;
  gate: Promise<unknown>;
}

export interface TrafficResult {
  answered: number;
  /** Answers with a wrong output, of another version, or with a count that another answer has too. */
  wrongAnswers: number;
  /** Requests that a killed worker had not answered: each was sent again, to another one. */
  resent: number;
  largestCount: bigint;
}

/** Sends requests through the pool and checks every answer. */
export async function runTraffic(pool: WorkerPool, plan: TrafficPlan): Promise<TrafficResult> {
  const result: TrafficResult = { answered: 0, wrongAnswers: 0, resent: 0, largestCount: -1n };
  const counts = new Set<bigint>();
  let next = 0;
  const lane = async () => {
    while (next < plan.requests) {
      const request = next++;
      if (request >= plan.gatedFrom) await plan.gate;
      const reference = plan.references[request % plan.references.length]!;
      const answer = await answered(pool, reference, result);
      result.answered++;
      const fresh = !counts.has(answer.previous);
      counts.add(answer.previous);
      if (answer.previous > result.largestCount) result.largestCount = answer.previous;
      const right = countWrong(reference, answer.output) === 0 && answer.version === plan.version;
      if (!right || !fresh) result.wrongAnswers++;
      plan.onAnswer?.(result.answered);
    }
  };
  await Promise.all(Array.from({ length: plan.concurrency }, lane));
  return result;
}

async function answered(pool: WorkerPool, reference: Reference, result: TrafficResult) {
  const body = new Uint8Array(reference.x.buffer);
  for (;;) {
    const worker: ClusterWorker = await pool.leastBusy();
    try {
      return await worker.post(body);
    } catch (error) {
      if (!worker.killed) throw error;
      result.resent++;
    }
  }
}
