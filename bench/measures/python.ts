import { spawn } from "node:child_process";
import path from "node:path";
import { endOfGroup, killGroup } from "../common/group.js";
import { peersFolder } from "../common/paths.js";
import type { Bench } from "../suite/bench.js";

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
  const absent = (reason: string | undefined) => bench.peer({ peer, status: "absent", reason });
  if (bench.driver === "host") {
    absent("it needs a GPU, and this run has none");
    return undefined;
  }
  bench.step(peer);
  const found = await runScript(
    bench,
    [path.join(peersFolder, "python", script), ...args.map(String)],
    limitSeconds,
  );
  if (found === undefined) {
    absent("there is no python3");
    return undefined;
  }
  const { state, samples, failure } = found;
  const { event, ...facts } = state;
  if (event === "absent") absent(facts.reason);
  else if (failure !== undefined) bench.peer({ peer, status: "failed", reason: failure });
  else if (samples.length === 0) bench.peer({ peer, status: "failed", reason: "it gave no samples" });
  else {
    bench.peer({ peer, status: "present", versions: facts });
    return samples as Sample[];
  }
  return undefined;
}

interface Output {
  /** The last line that has an event: "present", with versions, or "absent", with a reason. */
  state: Record<string, string>;
  /** All other lines. */
  samples: object[];
}

/** Undefined: there is no Python. */
async function runScript(
  bench: Bench,
  words: readonly string[],
  limitSeconds: number,
): Promise<(Output & { failure?: string }) | undefined> {
  // -B: no compiled files beside the sources. A group of its own: its consumers end with it.
  const child = spawn("python3", ["-B", ...words], { stdio: ["ignore", "pipe", "pipe"], detached: true });
  const ended = endOfGroup(child).catch((error) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  const { pid } = child;
  if (pid !== undefined) bench.group(pid, true);
  let [output, errors] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (chunk) => {
    output += chunk;
  });
  child.stderr.setEncoding("utf8").on("data", (chunk) => {
    errors = (errors + chunk).slice(-4096);
  });
  let expired = false;
  const timer = setTimeout(() => {
    expired = true;
    if (pid !== undefined) killGroup(pid);
  }, limitSeconds * 1000);
  child.once("exit", () => clearTimeout(timer));
  const how = await ended;
  clearTimeout(timer);
  if (how === undefined) return undefined;
  bench.group(pid!, false);
  const read = readOutput(output);
  if (expired) return { ...read, failure: `not done after ${limitSeconds} s` };
  return how === "0" ? read : { ...read, failure: `ended with ${how}: ${errors.trim()}`.replace(/: $/, "") };
}

function readOutput(text: string): Output {
  const output: Output = { state: {}, samples: [] };
  for (const line of text.split("\n").flatMap(asObject)) {
    if ("event" in line) output.state = line as Output["state"];
    else output.samples.push(line);
  }
  return output;
}

/** None for what is no JSON object: libraries print warnings to standard output, too. */
function asObject(line: string): object[] {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? [value] : [];
  } catch {
    return [];
  }
}
