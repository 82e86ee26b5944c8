import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import type { Results } from "../../dist/bench/suite/results.js";
import { temporaryFolder } from "../helpers/temporary.js";
import { runIn } from "./run.js";

const folder = temporaryFolder();
const out = path.join(folder, "out");
const file = path.join(out, "results.json");
const driver = process.env.CUDA_IPC_DRIVER || "host";

const run = (script: string, ...args: string[]) => runIn(folder, script, args);
const suite = (...args: string[]) => run("suite.js", "--driver", driver, "--quick", "--out", out, ...args);
const read = (): Results => JSON.parse(readFileSync(file, "utf8"));

describe("npm run bench", () => {
  test("measures what the filter names, and writes the record and the table", async () => {
    const { code, text, errors } = await suite("--filter", "memory,refcount", "--json");
    expect(code, errors).toBe(0);
    const results = read();
    expect(JSON.parse(text.trimEnd().split("\n").at(-1)!)).toEqual(results);
    expect(results.outcomes.map(({ measure, status }) => [measure, status])).toEqual([
      ["memory", "done"],
      ["refcount", "done"],
    ]);
    expect(results.headline.workersMemoryVsSeparate).toBeGreaterThan(0);
    expect(results.headline.workersMemoryVsSeparate, "one copy, not two").toBeLessThan(0.8);
    expect(results.headline.loadGBps).toBeNull();
    expect(results.runs).toHaveLength(1);
    for (const { samples } of results.series) expect(samples.length).toBeGreaterThan(1);
    const table = readFileSync(path.join(out, "results.md"), "utf8");
    if (driver === "host") {
      expect(results.label).toBe("HOST DRIVER, no GPU");
      expect(table).toContain("No GPU was used");
    }
    expect(table).toContain("| cuda-ipc | through the owner | sharing vmm | per second |");
    expect(readdirSync(folder), "no model, no socket is left").toEqual(["out"]);
    expect(readdirSync(out).sort()).toEqual(["memory.svg", "results.json", "results.md"]);
  });

  test("merges another run, measure by measure", async () => {
    const before = read();
    const { code, errors } = await suite("--filter", "death,refcount", "--merge");
    expect(code, errors).toBe(0);
    const after = read();
    expect(after.runs).toHaveLength(2);
    expect(after.outcomes.map(({ measure, run }) => [measure, run])).toEqual([
      ["memory", 0],
      ["death", 1],
      ["refcount", 1],
      ["death-peers", 1],
    ]);
    const of = (results: Results, measure: string) => results.series.filter((one) => one.measure === measure);
    expect(of(after, "memory")).toEqual(of(before, "memory"));
    expect(of(after, "refcount")).toHaveLength(of(before, "refcount").length);
    expect(of(after, "refcount")).not.toEqual(of(before, "refcount"));
    expect(after.headline.workersMemoryVsSeparate).toBe(before.headline.workersMemoryVsSeparate);
    expect(after.headline.ledgerAfterDeathMs).toEqual(expect.any(Number));
    const left = of(after, "death").filter(({ what }) => what === "left after a killed consumer");
    expect(left.map(({ labels }) => labels.sharing)).toEqual(["vmm", "ipc"]);
    for (const { samples } of left) expect(samples.every((bytes) => bytes === 0)).toBe(driver === "host");
    if (driver === "host") {
      const compiled = { status: "present", versions: expect.any(Object) };
      expect(after.peers).toEqual([
        { peer: "C++ deathwatch", measure: "death", ...compiled },
        {
          peer: "PyTorch",
          measure: "death-peers",
          status: "absent",
          reason: "it needs a GPU, and this run has none",
        },
      ]);
    }
  });

  test("keeps what it has when it is ended early", async () => {
    const early = path.join(folder, "early");
    const child = spawn(
      process.execPath,
      [
        path.join(__dirname, "../../dist/bench/suite.js"),
        ...["--driver", driver, "--quick", "--out", early, "--filter", "kernel-read,refcount"],
      ],
      { env: { ...process.env, TMPDIR: folder, NODE_OPTIONS: "" }, stdio: ["ignore", "ignore", "pipe"] },
    );
    const closed = once(child, "close");
    let progress = "";
    for await (const chunk of child.stderr) {
      progress += chunk;
      if (!child.killed && progress.includes("[1/2] kernel-read: done")) child.kill("SIGTERM");
    }
    const [code] = await closed;
    expect(code, progress).toBe(143);
    const results: Results = JSON.parse(readFileSync(path.join(early, "results.json"), "utf8"));
    expect(results.outcomes.map(({ measure }) => measure)).toEqual(["kernel-read"]);
    expect(results.headline.kernelReadVsOwn).toEqual(expect.any(Number));
  });

  test("draws the plots of what was measured", async () => {
    const { code, text, errors } = await run("plot.js", out);
    expect(code, errors).toBe(0);
    expect(text.trim()).toBe(path.join(out, "memory.svg"));
    expect(errors).toContain("loads.svg: not drawn");
    expect(readFileSync(path.join(out, "memory.svg"), "utf8")).toMatch(
      /^<svg [\s\S]*GiB in use[\s\S]*<\/svg>\n$/,
    );
  });

  test("a measure that hangs is a failed one, and the rest goes on", async () => {
    const hung = path.join(folder, "hung");
    const args = ["--filter", "kernel-read,refcount", "--patience", "0.001"];
    const { code, errors } = await run("suite.js", "--driver", driver, "--quick", "--out", hung, ...args);
    expect(code).toBe(1);
    const results: Results = JSON.parse(readFileSync(path.join(hung, "results.json"), "utf8"));
    expect(
      results.outcomes.map(({ measure, status, reason }) => [measure, status, reason]),
      errors,
    ).toEqual([
      ["kernel-read", "failed", "not done after 0 s"],
      ["refcount", "failed", "not done after 0 s"],
    ]);
    expect(results.headline.kernelReadVsOwn).toBeNull();
  });

  // Compiles the floor where that has not been done yet.
  test("runs the floor beside the library", { timeout: 600_000 }, async () => {
    const beside = path.join(folder, "beside");
    const args = ["--filter", "load-size", "--commit", "abc"];
    const { code, errors } = await run("suite.js", "--driver", driver, "--quick", "--out", beside, ...args);
    expect(code, errors).toBe(0);
    const results: Results = JSON.parse(readFileSync(path.join(beside, "results.json"), "utf8"));
    expect(results.runs[0]!.commit).toBe("abc");
    for (const by of ["cuda-ipc", "floor"]) {
      const sizes = results.series.filter((one) => one.by === by).map(({ labels }) => labels.bytes);
      expect(new Set(sizes).size).toBe(2);
    }
  });

  test("refuses a name that no measure has, and says which there are", async () => {
    const { code, errors } = await suite("--filter", "atach");
    expect(code).toBe(2);
    expect(errors).toMatch(/^No measure has "atach" in its name\. There are: load, .*attach-bytes.*\n$/);
  });
});

describe("npm run bench:check", () => {
  test("finds a sound file sound", async () => {
    expect(await run("check.js", file)).toMatchObject({ code: 0, text: `${file}: sound\n` });
  });

  test.each([
    [
      "a changed headline",
      (results: Results) => {
        results.headline.ledgerAfterDeathMs = 0.001;
      },
      "headline.ledgerAfterDeathMs is 0.001, but the samples give ",
    ],
    [
      "changed samples",
      (results: Results) => {
        const shared = results.series.filter(({ labels }) => labels.mode === "shared");
        for (const one of shared) one.samples = one.samples.map((bytes) => bytes / 2);
      },
      "headline.workersMemoryVsSeparate is ",
    ],
    [
      "a number that nothing was measured for",
      (results: Results) => {
        results.headline.attachMs.vmm = 0.3;
      },
      "headline.attachMs.vmm is 0.3, but the samples give null.",
    ],
    [
      "a series of one sample",
      (results: Results) => {
        results.series[0]!.samples.length = 1;
      },
      "has one sample only.",
    ],
  ])("finds %s", async (_, tamper, sentence) => {
    const results = read();
    tamper(results);
    const tampered = path.join(folder, "tampered.json");
    writeFileSync(tampered, JSON.stringify(results));
    const { code, text } = await run("check.js", tampered);
    expect(code).toBe(1);
    expect(text).toContain(sentence);
  });
});
