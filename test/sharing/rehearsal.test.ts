// What a process does while it waits for CUDA, so that its first attach finds compiled code.
import { execFileSync } from "node:child_process";
import path from "node:path";
import { expect, test } from "vitest";

const root = path.join(__dirname, "../..");

/** What an async program, in a process of its own, returns. */
function run<T>(program: string): T {
  const script = `
    const { readdirSync } = require("node:fs");
    const { native } = require("./dist/lib/native.js");
    const turn = () => new Promise(setImmediate);
    const rehearsed = () => Object.keys(require.cache).some((file) => file.endsWith("/rehearsal.js"));
    (async () => { ${program} })().then((value) => console.log(JSON.stringify(value)));`;
  return JSON.parse(execFileSync(process.execPath, ["-e", script], { cwd: root, encoding: "utf8" })) as T;
}

test("a rehearsal attaches and releases, and touches neither the driver nor the kernel", () => {
  expect(
    run(`
      const { rehearse } = require("./dist/lib/sharing/rehearsal.js");
      const fds = readdirSync("/proc/self/fd").length;
      const threads = readdirSync("/proc/self/task").length;
      await rehearse();
      return {
        driver: native.driverIsUp(),
        mappings: native.mappingStatistics(),
        fds: readdirSync("/proc/self/fd").length - fds,
        threads: readdirSync("/proc/self/task").length - threads,
        resources: process.getActiveResourcesInfo().filter((name) => name === "Timeout"),
      };`),
  ).toEqual({ driver: false, mappings: { mappings: 0, references: 0 }, fds: 0, threads: 0, resources: [] });
});

test("it takes place once there is a turn for it, unless somebody has attached by then", () => {
  expect(
    run(`const { attach } = require("./dist/lib/index.js"); await turn(); await turn(); return rehearsed();`),
  ).toBe(true);
  expect(
    run(`
      const { attach } = require("./dist/lib/index.js");
      await attach("set", { socket: "/nowhere", timeout: 1000 }).catch(() => {});
      await turn();
      return rehearsed();`),
  ).toBe(false);
});
