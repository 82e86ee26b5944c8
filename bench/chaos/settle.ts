import type { Findings } from "./findings.js";
import type { Fleet } from "./fleet.js";
import type { LedgerView } from "./messages.js";
import { Hang, watchFor } from "./patience.js";

/** Workers that move, loaders that end, an owner that recovers: what takes its time may take so much. */
const settleMs = 20_000;
/** When nothing moves any more, both sides have this long to agree; less when they are known to be at odds. */
const agreeMs = 5_000;
const agreeAgainMs = 500;

type Disagreement = { awaited: string } | { error: string };

/**
 * Waits until nobody moves, then compares the owner's counts with what the workers say they hold: for each version,
 * by process. A Hang when it does not come to rest; a ledger error when it does and they differ.
 */
export async function settle(fleet: Fleet, findings: Findings): Promise<void> {
  let last = { awaited: "the first look" } as Disagreement;
  let restingSince: number | undefined;
  const limit = findings.figures.ledgerErrors === 0 ? agreeMs : agreeAgainMs;
  const done = await watchFor(async () => {
    const found = await compare(fleet);
    if (found === undefined) return "agreed";
    last = found;
    if ("awaited" in found) restingSince = undefined;
    else restingSince ??= performance.now();
    return restingSince !== undefined && performance.now() - restingSince > limit ? "at odds" : undefined;
  }, settleMs);
  if (done === "agreed") return;
  if ("awaited" in last) throw new Hang(last.awaited);
  findings.count("ledgerErrors", last.error);
}

async function compare(fleet: Fleet): Promise<Disagreement | undefined> {
  const ledger = await fleet.owner.call("ledger");
  if (ledger.recovering) return { awaited: "the owner to have recovered" };
  const current = ledger.versions.find(({ state }) => state === "current");
  const held = new Map<string, Map<number, number>>();
  for (const { serving } of fleet.slots) {
    if (serving === undefined) return { awaited: "a worker to be replaced" };
    const { moving, leases } = await serving.call("holding");
    if (moving || !leases.includes(current?.id ?? "")) {
      return { awaited: `${serving.name} to have moved to version ${current?.number}` };
    }
    for (const version of leases) {
      const holders = held.get(version) ?? new Map<number, number>();
      held.set(version, holders.set(serving.pid, (holders.get(serving.pid) ?? 0) + 1));
    }
  }
  const found = differences(ledger, held);
  if (found !== undefined) return found;
  const mirrored = await fleet.standby.call("mirrored");
  return mirrored === ledger.versions.length
    ? undefined
    : { awaited: "the standby to hold what the owner has" };
}

function differences(ledger: LedgerView, held: Map<string, Map<number, number>>): Disagreement | undefined {
  for (const { id, number, state, refCount, exact, holders } of ledger.versions) {
    const expected = held.get(id) ?? new Map<number, number>();
    held.delete(id);
    const sum = [...expected.values()].reduce((a, b) => a + b, 0);
    const counted = new Map(holders.map(({ pid, leases }) => [pid, leases]));
    if (!exact) return { awaited: `the count of version ${number} to be exact` };
    if (refCount !== sum) {
      return { error: `The owner counts ${refCount} leases on version ${number}, the workers hold ${sum}.` };
    }
    for (const [pid, leases] of expected) {
      if (counted.get(pid) === leases) continue;
      return {
        error: `Process ${pid} holds ${leases} leases on version ${number}, the owner counts ${counted.get(pid) ?? 0}.`,
      };
    }
    if (refCount === 0 && state !== "current") return { awaited: `version ${number} (${state}) to be freed` };
  }
  const [unknown] = held.keys();
  if (unknown !== undefined) return { error: `The owner does not know version ${unknown}, which is held.` };
  return undefined;
}
