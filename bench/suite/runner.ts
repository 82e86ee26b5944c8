/** Runs a measure in a process of its own, so that one that hangs or crashes is one failed measure and no more. */
import { fork } from "node:child_process";
import path from "node:path";
import { endOfGroup, killGroup } from "../common/group.js";
import type { Context, Report } from "./process.js";
import type { PeerState, Series } from "./results.js";

export interface MeasureResult {
  status: "done" | "failed" | "skipped";
  reason?: string;
  series: Series[];
  notes: string[];
  peers: PeerState[];
  seconds: number;
}

interface Running {
  /** Its own, and those that it said it has started. */
  groups: Set<number>;
  ended: Promise<string>;
}

const running = new Set<Running>();

/** The suite is being ended: so is everything it started. Resolves when nothing of it runs any more. */
export async function killMeasures(): Promise<void> {
  for (const { groups } of running) for (const pid of groups) killGroup(pid);
  await Promise.all([...running].map(({ ended }) => ended));
}

export async function runMeasure(
  context: Context,
  limitSeconds: number,
  onStep: (text: string) => void,
): Promise<MeasureResult> {
  const began = performance.now();
  // A group of its own: whatever it has started ends with it.
  const child = fork(path.join(__dirname, "process.js"), [JSON.stringify(context)], {
    detached: true,
    execArgv: [],
    serialization: "advanced",
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  const one: Running = { groups: new Set([child.pid!]), ended: endOfGroup(child) };
  running.add(one);
  const result: MeasureResult = { status: "failed", series: [], notes: [], peers: [], seconds: 0 };
  let errors = "";
  child.stderr!.on("data", (chunk) => {
    errors = (errors + chunk).slice(-8192);
  });
  child.on("message", (report: Report) => {
    if (report.type === "series") result.series.push({ measure: context.measure, ...report.series });
    else if (report.type === "step") onStep(report.text);
    else if (report.type === "note") result.notes.push(report.text);
    else if (report.type === "peer") result.peers.push(report.peer);
    else if (report.type === "group") one.groups[report.runs ? "add" : "delete"](report.pid);
    else if (report.type === "end") Object.assign(result, { status: report.status, reason: report.reason });
  });
  let expired = false;
  const timer = setTimeout(() => {
    expired = true;
    killGroup(child.pid!);
  }, limitSeconds * 1000);
  // Whatever it waits for after this, it has not taken too long.
  child.once("exit", () => clearTimeout(timer));
  const how = await one.ended;
  for (const pid of one.groups) killGroup(pid);
  running.delete(one);
  if (expired)
    Object.assign(result, { status: "failed", reason: `not done after ${Math.round(limitSeconds)} s` });
  else if (result.status === "failed") result.reason ??= `its process ended with ${how}: ${errors.trim()}`;
  result.seconds = (performance.now() - began) / 1000;
  return result;
}
