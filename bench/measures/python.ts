import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { peersFolder } from "../common/paths.js";
import type { Bench } from "../suite/bench.js";

interface State {
  event?: "present" | "absent";
  reason?: string;
}

/**
 * Runs a peer in Python and returns its samples: one JSON line each. Undefined when it is absent, fails or hangs; the
 * results say so, and the measure goes on.
 */
export async function runPython<Sample extends object>(
  bench: Bench,
  peer: string,
  script: string,
  args: readonly (string | number)[],
  limitSeconds: number,
): Promise<Sample[] | undefined> {
  if (bench.driver === "host") {
    bench.peer({ peer, status: "absent", reason: "it needs a GPU, and this run has none" });
    return undefined;
  }
  bench.step(peer);
  const file = path.join(peersFolder, "python", script);
  // -B: no compiled files beside the sources.
  const child = spawn("python3", ["-B", file, ...args.map(String)], { stdio: ["ignore", "pipe", "pipe"] });
  const closed = once(child, "close").catch((error) => [error.message]);
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors = (errors + chunk).slice(-4096);
  });
  const samples: Sample[] = [];
  let state: State = {};
  let expired = false;
  const timer = setTimeout(() => {
    expired = true;
    child.kill("SIGKILL");
  }, limitSeconds * 1000);
  for await (const line of createInterface({ input: child.stdout })) {
    const { event, ...rest } = JSON.parse(line) as State & Sample;
    if (event === undefined) samples.push(rest as Sample);
    else state = { event, ...rest } as State;
  }
  const [code] = await closed;
  clearTimeout(timer);
  if (state.event === "absent") {
    bench.peer({ peer, status: "absent", reason: state.reason });
    return undefined;
  }
  if (code !== 0 || samples.length === 0) {
    const reason = expired ? `not done after ${limitSeconds} s` : `ended with ${code}: ${errors.trim()}`;
    const missing = state.event === undefined && !expired && errors === "";
    bench.peer({ peer, status: missing ? "absent" : "failed", reason });
    return undefined;
  }
  const { event: _, ...versions } = state as Record<string, string>;
  bench.peer({ peer, status: "present", versions });
  return samples;
}
