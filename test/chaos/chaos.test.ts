// The chaos harness itself: that a run passes, and that it would not if a promise were broken.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../helpers/temporary.js";

const main = path.join(__dirname, "../../dist/bench/chaos/main.js");
const folder = temporaryFolder();

interface Run {
  code: number | null;
  log: string;
  // biome-ignore lint/suspicious/noExplicitAny: the fields are what is tested
  json: any;
}

async function chaos(...args: string[]): Promise<Run> {
  const child = spawn(process.execPath, [main, "--json", ...args], {
    env: { ...process.env, TMPDIR: folder, NODE_OPTIONS: "" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  let log = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  child.stderr.on("data", (chunk) => {
    log += chunk;
  });
  const [code] = await once(child, "close");
  return { code, log, json: JSON.parse(text.trimEnd().split("\n").at(-1)!) };
}

test("a short run keeps every promise, and everything happens in it", async () => {
  const { code, log, json } = await chaos("--seconds", "20", "--workers", "3");
  expect(code, log).toBe(0);
  expect(Object.keys(json)).toEqual([
    ...[
      "seed",
      "requests",
      "failedRequests",
      "wrongAnswers",
      "kills",
      "handovers",
      "versions",
      "ledgerErrors",
    ],
    ...["leakedLeases", "leakedFds", "leakedDeviceBytes", "failedInKilledWorkers", "longestOutageMs"],
  ]);
  expect(Object.keys(json.kills)).toEqual(["worker", "owner", "loader", "standby"]);
  const nothing = { failedRequests: 0, wrongAnswers: 0, ledgerErrors: 0, leakedLeases: 0, leakedFds: 0 };
  expect(json, log).toMatchObject({ ...nothing, leakedDeviceBytes: 0 });
  for (const victim of ["worker", "owner", "loader", "standby"]) {
    expect(json.kills[victim], `${victim}s killed`).toBeGreaterThan(0);
  }
  expect(json.handovers).toBeGreaterThan(0);
  expect(json.versions).toBeGreaterThan(1);
  expect(json.requests).toBeGreaterThan(100);
}, 180_000);

describe("a planted fault fails the run and is named", () => {
  test.each([
    ["wrong-answer", "wrongAnswers"],
    ["leak", "leakedLeases"],
    ["refcount", "ledgerErrors"],
  ])(
    "%s",
    async (fault, figure) => {
      const { code, log, json } = await chaos("--seconds", "2", "--workers", "2", "--inject", fault);
      expect(code, log).toBe(1);
      expect(log).toMatch(new RegExp(`BROKEN PROMISE ${figure}: `));
      expect(json[figure], log).toBeGreaterThan(0);
      const figures = ["failedRequests", "wrongAnswers", "ledgerErrors", "leakedLeases", "leakedDeviceBytes"];
      for (const other of figures) if (other !== figure) expect(json[other], `${other}\n${log}`).toBe(0);
    },
    120_000,
  );
});

test("the same seed gives the same schedule", async () => {
  const kinds = async () => {
    const { code, log } = await chaos("--seconds", "3", "--workers", "1", "--seed", "7");
    expect(code, log).toBe(0);
    return [
      ...log.matchAll(/ s {2}((?:kill|stop|restart|fail|race|break|hand|roll|swap)[a-z ]*?) {2,}/g),
    ].map(([, kind]) => kind);
  };
  const [first, second] = [await kinds(), await kinds()];
  const both = Math.min(first.length, second.length);
  expect(both).toBeGreaterThan(1);
  expect(first.slice(0, both)).toEqual(second.slice(0, both));
}, 120_000);

test("without a driver nothing begins, and no promise is said to be broken", () => {
  const env = { ...process.env, TMPDIR: folder, NODE_OPTIONS: "", CUDA_IPC_DRIVER: "none" };
  const { status, stderr } = spawnSync(process.execPath, [main, "--json"], { env, encoding: "utf8" });
  expect(status).toBe(2);
  expect(stderr).toMatch(/^chaos: Expected "libcuda" .* received "none"/m);
  expect(stderr).not.toContain("BROKEN PROMISE");
});
