import type { OwnerCommands } from "../actors/owner.js";
import type { Child } from "../common/child.js";
import { millisecondsBetween } from "../common/clock.js";
import { compilePeer } from "../common/compile.js";
import { LineProgram } from "../common/line-program.js";
import { startWorker } from "./latency.js";

export interface DeathSample {
  /** From kill(2) to the pidfd, as another process sees it. */
  killToPidfd: number;
  /** From kill(2) to the owner's ledger. */
  killToLedger: number;
  /** From the pidfd to the ledger. Negative when end-of-file on the socket came first (`vmm`). */
  pidfdToLedger: number;
  /** Why the ledger ended the lease. */
  reason: string;
}

interface Death {
  killedAt: string;
  firedAt: string;
}

/** Kills workers that hold a lease, one at a time, and compares the ledger with the pidfd. */
export async function measureDeaths(
  owner: Child<OwnerCommands>,
  plan: { set: string; socket: string; device: number; kills: number; onRound?: (round: number) => void },
): Promise<DeathSample[]> {
  const samples: DeathSample[] = [];
  const watch = new LineProgram(await compilePeer("deathwatch"));
  try {
    for (let round = 0; round < plan.kills; round++) {
      plan.onRound?.(round);
      samples.push(await killOne(owner, watch, plan));
    }
    await watch.end();
  } finally {
    watch.kill();
  }
  return samples;
}

async function killOne(
  owner: Child<OwnerCommands>,
  watch: LineProgram,
  { set, socket, device }: { set: string; socket: string; device: number },
): Promise<DeathSample> {
  const worker = await startWorker(device);
  try {
    await worker.call("hold", set, socket);
    await owner.call("forgetLeaseEnds");
    watch.send(String(worker.pid));
    const { killedAt, firedAt } = await watch.read<Death>();
    const { at, reason } = await owner.call("leaseEnd");
    await worker.ended();
    const left = await owner.call("refCount", set);
    if (left !== 0) throw new Error(`${left} leases are left after the worker was killed.`);
    return {
      killToPidfd: millisecondsBetween(BigInt(killedAt), BigInt(firedAt)),
      killToLedger: millisecondsBetween(BigInt(killedAt), at),
      pidfdToLedger: millisecondsBetween(BigInt(firedAt), at),
      reason,
    };
  } finally {
    worker.kill();
  }
}
