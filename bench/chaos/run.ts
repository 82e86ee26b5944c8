import { setTimeout as delay } from "node:timers/promises";
import { takeDown } from "./ending.js";
import { events } from "./events/index.js";
import type { Findings } from "./findings.js";
import { Fleet } from "./fleet.js";
import type { Log } from "./log.js";
import type { Injection, Options } from "./options.js";
import { Hang, patience } from "./patience.js";
import { Random } from "./random.js";
import { schedule } from "./schedule.js";
import { settle } from "./settle.js";
import type { Worker } from "./slot.js";
import { Traffic } from "./traffic.js";
import { Versions } from "./versions.js";

/** From this length on a run goes on until every kind of event has happened. */
const completeFromSeconds = 20;

const lastRequestsMs = 60_000;

/** Everything that a run finds is in `findings` when this resolves. Rejects when it cannot begin. */
export async function run(options: Options, folder: string, findings: Findings, log: Log): Promise<void> {
  const { workers, concurrency, pause: pauseMs } = options;
  const versions = new Versions(findings);
  const fleet = new Fleet({ folder, workers, concurrency, findings, versions, log });
  const { slots } = fleet;
  const traffic = new Traffic({
    ...{ slots, concurrency, pauseMs, versions, findings },
    aliveSince: () => fleet.aliveSince,
  });
  // Without a driver nothing begins, and no promise is broken.
  const usedBefore = await fleet.observer.call("usedBytes").catch((error) => {
    fleet.destroy();
    throw error;
  });
  try {
    await fleet.start();
    traffic.start();
    await settle(fleet, findings);
    log.line(`${workers} workers serve, ${concurrency} requests at a time each`);
    await wreak(options, fleet, findings, log);
    await patience(traffic.stop(), lastRequestsMs, "the last requests to end");
    await settle(fleet, findings);
    if (options.inject === "leak") await plant(fleet, "leak", log);
    await takeDown(fleet, findings, usedBefore);
  } catch (error) {
    findings.fault(error instanceof Hang ? `A hang: ${error.message}.` : String((error as Error).stack));
  } finally {
    traffic.abandon();
    fleet.destroy();
  }
}

async function wreak(options: Options, fleet: Fleet, findings: Findings, log: Log): Promise<void> {
  const end = performance.now() + 1000 * options.seconds;
  const fewest = options.seconds >= completeFromSeconds ? events.length : 1;
  let steps = 0;
  let rested = true;
  for (const { event, pauseMs, seed, settles } of schedule(findings.figures.seed, events)) {
    if (performance.now() >= end && steps >= fewest) break;
    await delay(pauseMs);
    log.event(event.kind, await event.run({ fleet, findings, random: new Random(seed), rested }));
    rested = settles;
    if (settles) await settle(fleet, findings);
    if (steps++ === 0 && options.inject === "wrong-answer") await plant(fleet, options.inject, log);
  }
  if (options.inject === "refcount") {
    const worker = await plant(fleet, options.inject, log);
    await settle(fleet, findings);
    await worker.call("unplant");
  }
}

/** Does to a worker what must not go unnoticed. */
async function plant(fleet: Fleet, injection: Injection, log: Log): Promise<Worker> {
  const worker = await fleet.slots[0]!.worker();
  await worker.call("plant", injection === "wrong-answer" ? "wrong-answer" : "lease");
  log.event("planted fault", `${injection}, in ${worker.name}`);
  return worker;
}
