import type { Findings } from "./findings.js";
import type { Fleet } from "./fleet.js";
import { watchFor } from "./patience.js";
import type { Worker } from "./slot.js";

/** How long what was let go of may take to be gone. */
const goneMs = 10_000;
const leasesMs = 2_000;

/** Everybody lets go of everything; what is left is a leak. */
export async function takeDown(fleet: Fleet, findings: Findings, usedBefore: number): Promise<void> {
  const workers = await Promise.all(fleet.slots.map((slot) => slot.worker()));
  await Promise.all(workers.map(async (worker) => fleet.leak(worker.name, await worker.call("release"))));
  await countLeases(fleet, findings);
  const { owner, standby } = fleet;
  fleet.leak(standby.name, await standby.call("close"));
  fleet.leak(owner.name, await owner.call("close"));
  await Promise.all(workers.map((worker) => finish(fleet, worker)));
  await fleet.end(standby);
  await fleet.end(owner);
  await countDeviceBytes(fleet, findings, usedBefore);
  await fleet.end(fleet.observer);
}

async function countLeases(fleet: Fleet, findings: Findings): Promise<void> {
  let left: { number: number; refCount: number }[] = [];
  await watchFor(async () => {
    const { versions } = await fleet.owner.call("ledger");
    left = versions.filter(({ refCount }) => refCount > 0);
    return left.length === 0 ? true : undefined;
  }, leasesMs);
  for (const { number, refCount } of left) {
    findings.count(
      "leakedLeases",
      `${refCount} on version ${number} are left when all are released.`,
      refCount,
    );
  }
}

async function finish(fleet: Fleet, worker: Worker): Promise<void> {
  await worker.call("finish");
  await fleet.end(worker);
}

async function countDeviceBytes(fleet: Fleet, findings: Findings, usedBefore: number): Promise<void> {
  let left = 0;
  await watchFor(async () => {
    left = (await fleet.observer.call("usedBytes")) - usedBefore;
    return left <= 0 ? true : undefined;
  }, goneMs);
  if (left > 0) findings.count("leakedDeviceBytes", "More is in use than before the run.", left);
}
