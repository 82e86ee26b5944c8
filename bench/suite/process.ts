/** One measure's process: see runner.ts. */
import { rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { PeerName } from "../common/compile.js";
import { killGroup } from "../common/group.js";
import { type Bench, Skip } from "./bench.js";
import { measureOf } from "./catalogue.js";
import { chooseProfile } from "./profile.js";
import type { PeerState, Series } from "./results.js";

/** What the suite tells it. */
export interface Context {
  measure: string;
  driver: "libcuda" | "host";
  device: number;
  quick: boolean;
  shared: string;
  /** The peers in C++ that could not be built. */
  unbuilt: PeerName[];
}

/** What it tells the suite. */
export type Report =
  | { type: "series"; series: Omit<Series, "measure"> }
  | { type: "step" | "note"; text: string }
  | { type: "peer"; peer: PeerState }
  | { type: "group"; pid: number; runs: boolean }
  | { type: "end"; status: "done" | "failed" | "skipped"; reason?: string };

const report = (message: Report): Promise<void> =>
  new Promise((resolve) => {
    process.send!(message, () => resolve());
  });

const context = JSON.parse(process.argv[2]!) as Context;
const groups = new Set<number>();

/** The suite is gone, and could not say so: nobody else ends what runs here, or removes the models. */
process.once("disconnect", () => {
  for (const pid of groups) killGroup(pid);
  rmSync(context.shared, { recursive: true, force: true, maxRetries: 3 });
  killGroup(process.pid);
});

async function main(): Promise<void> {
  const scratch = path.join(context.shared, context.measure);
  await mkdir(scratch, { recursive: true });
  const bench: Bench = {
    ...context,
    profile: chooseProfile(context.driver, context.quick),
    scratch,
    built: (peer) => !context.unbuilt.includes(peer),
    record: (by, what, unit, labels, samples) => {
      if (samples.length === 0) throw new Error(`There are no samples of ${by}: ${what}.`);
      if (!samples.every(Number.isFinite)) throw new Error(`A sample of ${by}: ${what} is not a number.`);
      void report({ type: "series", series: { by, what, unit, labels, samples: [...samples] } });
    },
    step: (text) => void report({ type: "step", text }),
    note: (text) => void report({ type: "note", text }),
    peer: (peer) => void report({ type: "peer", peer }),
    group: (pid, runs) => {
      groups[runs ? "add" : "delete"](pid);
      void report({ type: "group", pid, runs });
    },
  };
  await measureOf(context.measure).run(bench);
}

main()
  .then(
    () => report({ type: "end", status: "done" }),
    (error) => {
      const reason = String(error?.stack ?? error);
      return error instanceof Skip
        ? report({ type: "end", status: "skipped", reason: error.message })
        : report({ type: "end", status: "failed", reason });
    },
  )
  // Whatever hangs in this process, such as a call into a driver, must not keep it.
  .finally(() => process.exit(0));
