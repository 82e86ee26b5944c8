import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { attachPeers } from "../../dist/bench/measures/attach-peers.js";
import { runPython } from "../../dist/bench/measures/python.js";
import type { Bench } from "../../dist/bench/suite/bench.js";
import { chooseProfile } from "../../dist/bench/suite/profile.js";
import type { PeerState } from "../../dist/bench/suite/results.js";
import { temporaryFolder } from "../helpers/temporary.js";

const folder = temporaryFolder();
const python = path.join(folder, "bin");
const called = path.join(folder, "called");
const { PATH } = process.env;

let peers: PeerState[];
let groups: [pid: number, runs: boolean][];

const bench = {
  driver: "libcuda",
  device: 0,
  profile: chooseProfile("host", true),
  shared: folder,
  scratch: folder,
  record: () => {},
  step: () => {},
  note: () => {},
  peer: (peer) => void peers.push(peer),
  built: () => true,
  group: (pid, runs) => void groups.push([pid, runs]),
} satisfies Bench as Bench;

/** A "python3" that is a shell: its first argument is a script. */
beforeAll(() => {
  mkdirSync(python);
  const file = path.join(python, "python3");
  writeFileSync(file, `#!/bin/sh\necho "$@" >> ${called}\nshift 2\neval "$1"\n`);
  chmodSync(file, 0o755);
});

beforeEach(() => {
  peers = [];
  groups = [];
  process.env.PATH = `${python}:${PATH}`;
});

afterAll(() => {
  process.env.PATH = PATH;
});

const run = (script: string, limitSeconds = 30) =>
  runPython(bench, "peer", "peer.py", [script], limitSeconds);
const present = `echo '{"event": "present", "peer": "1.0"}'`;

describe("a peer in Python", () => {
  test("gives its samples, whatever libraries print between them", async () => {
    const lines = ["Warning: old driver", '{"seconds": NaN}', "NaN", "[1]", "null", '{"seconds": 2}'];
    const script = [present, ...lines.map((line) => `echo '${line}'`)].join("\n");
    expect(await run(script)).toEqual([{ seconds: 2 }]);
    expect(peers).toEqual([{ peer: "peer", status: "present", versions: { peer: "1.0" } }]);
  });

  test.each([
    ["that is killed", `${present}; echo '{"seconds": 1}'; kill -9 $$`, "ended with SIGKILL"],
    ["that is killed before it says a word", "kill -9 $$", "ended with SIGKILL"],
    ["that crashes", "echo trouble >&2; exit 3", "ended with 3: trouble"],
    ["that gives nothing", present, "it gave no samples"],
  ])("%s is failed", async (_, script, reason) => {
    expect(await run(script)).toBeUndefined();
    expect(peers).toEqual([{ peer: "peer", status: "failed", reason }]);
  });

  test("that says so is absent", async () => {
    expect(await run(`echo '{"event": "absent", "reason": "no module"}'`)).toBeUndefined();
    expect(peers).toEqual([{ peer: "peer", status: "absent", reason: "no module" }]);
  });

  test("is absent where there is no Python", async () => {
    process.env.PATH = path.join(folder, "none");
    expect(await run("")).toBeUndefined();
    expect(peers).toEqual([{ peer: "peer", status: "absent", reason: "there is no python3" }]);
    expect(groups).toEqual([]);
  });

  // Each of them holds the output open for longer than this test may take.
  test.each([
    ["hangs", `${present}; sleep 1000 & sleep 1000`, "not done after 0.2 s"],
    ["leaves a process behind", `sleep 1000 & echo out >&2; exit 4`, "ended with 4: out"],
  ])("that %s ends with all that it started", async (_, script, reason) => {
    expect(await run(script, reason.startsWith("not") ? 0.2 : 30)).toBeUndefined();
    expect(peers).toEqual([{ peer: "peer", status: "failed", reason }]);
    const [[pid]] = groups as [[number, boolean]];
    expect(groups).toEqual([
      [pid, true],
      [pid, false],
    ]);
    // The kernel has them on the way out: what is left of them is not running.
    await expect.poll(() => running(pid)).toEqual([]);
  });
});

test("the peers of attach allocate whole blocks", async () => {
  writeFileSync(called, "");
  await attachPeers.run(bench);
  const [, ...opened] = readFileSync(called, "utf8").trim().split("\n");
  const sizes = opened.map((line) => Number(line.split(" ")[2]));
  // The set is a little larger than 8 MiB.
  expect(sizes).toEqual(Array(3).fill(10 * 2 ** 20));
});

/** Processes of a group that are not zombies: those only wait for whoever collects them. */
function running(group: number): string[] {
  return readdirSync("/proc").filter((name) => {
    try {
      const [state, , pgrp] = readFileSync(`/proc/${name}/stat`, "utf8").split(") ")[1]!.split(" ");
      return Number(pgrp) === group && state !== "Z";
    } catch {
      return false;
    }
  });
}
