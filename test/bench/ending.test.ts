import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import type { Results } from "../../dist/bench/suite/results.js";
import { temporaryFolder } from "../helpers/temporary.js";
import { Cast } from "./cast.js";

const driver = process.env.CUDA_IPC_DRIVER || "host";
const parent = temporaryFolder();

/** A benchmark that has come to its first worker, which hangs. */
async function begin(script: string, ...args: string[]) {
  const folder = mkdtempSync(path.join(parent, "e"));
  const temporary = path.join(folder, "tmp");
  mkdirSync(temporary);
  const cast = new Cast();
  const child = await cast.start(folder, script, ["--driver", driver, ...args]);
  const ended = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  const errors = text(child.stderr!);
  child.stdout!.resume();
  await cast.entered("worker");
  return { cast, child, ended, errors, out: path.join(folder, "out"), left: () => readdirSync(temporary) };
}

const beginSuite = (...args: string[]) => {
  const out = path.join(parent, `out${readdirSync(parent).length}`);
  return begin("suite.js", "--quick", "--filter", "memory", "--out", out, ...args).then((it) => ({
    ...it,
    out,
  }));
};

/** That the terminal has its cursor and its line wrap back. */
function expectRestored(errors: string): void {
  for (const mode of ["?25", "?7"]) {
    expect(errors).toContain(`\x1b[${mode}l`);
    expect(errors.lastIndexOf(`\x1b[${mode}h`)).toBeGreaterThan(errors.lastIndexOf(`\x1b[${mode}l`));
  }
}

describe("npm run bench", () => {
  test("a measure that crashes is failed at once, for the reason that it had", async () => {
    const { cast, ended, errors, out, left } = await beginSuite("--patience", "0.1");
    process.kill((await cast.entered("process")).pid, "SIGKILL");
    expect((await ended)[0]).toBe(1);
    await cast.empty();
    const results: Results = JSON.parse(readFileSync(path.join(out, "results.json"), "utf8"));
    expect(results.outcomes).toMatchObject([
      { status: "failed", reason: "its process ended with SIGKILL: " },
    ]);
    expect(left()).toEqual([]);
    expectRestored(await errors);
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
    ["SIGQUIT", 131],
  ] as const)("%s leaves no process, no model and no hidden cursor", async (signal, status) => {
    const { cast, child, ended, errors, left } = await beginSuite();
    child.kill(signal);
    expect(await ended).toEqual([status, null]);
    await cast.empty();
    expect(left()).toEqual([]);
    expectRestored(await errors);
  });

  test("a second Ctrl-C does not interrupt the cleaning up", async () => {
    const { cast, child, ended, left } = await beginSuite();
    child.kill("SIGINT");
    await cast.left();
    child.kill("SIGINT");
    expect(await ended).toEqual([130, null]);
    expect(left()).toEqual([]);
  });

  test("one that is killed is cleaned up after by its measure", async () => {
    const { cast, child, ended, left } = await beginSuite();
    child.kill("SIGKILL");
    await ended;
    await cast.empty();
    expect(left()).toEqual([]);
  });
});

describe("npm run bench:attach", () => {
  const small = ["--bytes", "1048576", "--tensors", "2"];

  test.each([
    ["SIGINT", 130],
    ["SIGHUP", 129],
  ] as const)("%s leaves no process and no model", async (signal, status) => {
    const { cast, child, ended, errors, left } = await begin("attach.js", ...small);
    child.kill(signal);
    expect(await ended).toEqual([status, null]);
    expect(await errors).toBe("");
    await cast.empty();
    expect(left()).toEqual([]);
  });

  test("ends quietly when nobody reads on", async () => {
    const folder = mkdtempSync(path.join(parent, "e"));
    mkdirSync(path.join(folder, "tmp"));
    const cast = new Cast();
    const child = await cast.start(folder, "attach.js", ["--driver", driver, ...small]);
    const ended = once(child, "close");
    const errors = text(child.stderr!);
    await once(child.stdout!, "data");
    child.stdout!.destroy();
    expect(await ended).toEqual([141, null]);
    await cast.empty();
    expect(await errors).toBe("");
    expect(readdirSync(path.join(folder, "tmp"))).toEqual([]);
  });
});
