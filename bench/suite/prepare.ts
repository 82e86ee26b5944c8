import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { compilePeer, compiler, type PeerName } from "../common/compile.js";
import { packageRoot } from "../common/paths.js";
import type { Measure } from "./bench.js";
import type { PeerState, Results } from "./results.js";

const run = promisify(execFile);

/** How the results call the peers in C++. */
const titles: Record<PeerName, string> = {
  floor: "C++ floor",
  loadfloor: "C++ floor of loads",
  deathwatch: "C++ deathwatch",
  filecache: "C++ filecache",
};

export type Built = ReadonlyMap<PeerName, PeerState>;

/** Those of the peers in C++ that a measure runs. */
export const peersOf = ({ peers = [], needs = [] }: Measure): PeerName[] => [...peers, ...needs];

/**
 * Builds the peers in C++ now: a compiler in the middle of a measure would count. One that cannot be built is absent, as
 * any other peer may be.
 */
export async function preparePeers(measures: readonly Measure[]): Promise<Built> {
  const names = new Set(measures.flatMap(peersOf));
  if (names.size > 0)
    process.stderr.write("Building the peers in C++ where that has not been done yet ...\n");
  const built = new Map<PeerName, PeerState>();
  for (const name of names) built.set(name, { peer: titles[name], ...(await build(name)) });
  return built;
}

async function build(name: PeerName): Promise<Omit<PeerState, "peer">> {
  try {
    await compilePeer(name);
    return { status: "present", versions: await compilerVersion() };
  } catch (error) {
    const { syscall, message, stderr } = error as NodeJS.ErrnoException & { stderr?: string };
    if (syscall === `spawn ${compiler()}`) {
      const reason = `there is no ${compiler()}: install g++, or name another C++17 compiler in CXX`;
      return { status: "absent", reason };
    }
    const line = stderr?.split("\n").find((text) => text.includes("error"));
    return { status: "failed", reason: `${compiler()} could not build it: ${line ?? message}` };
  }
}

async function compilerVersion(): Promise<Record<string, string>> {
  try {
    const { stdout } = await run(compiler(), ["--version"]);
    return { compiler: stdout.split("\n")[0]!.trim() };
  } catch {
    // It was built earlier.
    return {};
  }
}

/** bench/results/<date>-<gpu> */
export function resultsFolder({ driver, quick, runs }: Results): string {
  const { at, machine } = runs[0]!;
  const gpu = driver === "host" ? "host-driver" : machine.gpu.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return path.join(packageRoot, "bench", "results", `${at.slice(0, 10)}-${gpu}${quick ? "-quick" : ""}`);
}
