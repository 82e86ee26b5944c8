import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../helpers/temporary.js";
import { runIn } from "./run.js";

const folder = temporaryFolder();
const driver = process.env.CUDA_IPC_DRIVER || "host";

const suite = (out: string, filter: string, env: Record<string, string> = {}) =>
  runIn(folder, "suite.js", ["--driver", driver, "--quick", "--out", out, "--filter", filter], env);

/** A folder with the plots of an earlier run in it. */
function withPlots(name: string): string {
  const out = path.join(folder, name);
  mkdirSync(out);
  for (const plot of ["loads.svg", "attach.svg", "memory.svg"])
    writeFileSync(path.join(out, plot), "of before");
  return out;
}

describe("the plots in the folder of the results", () => {
  test("are those of what was measured, and of nothing else", async () => {
    const out = withPlots("drawn");
    const { code, errors } = await suite(out, "memory");
    expect(code, errors).toBe(0);
    expect(readdirSync(out).sort()).toEqual(["memory.svg", "results.json", "results.md"]);
    expect(readFileSync(path.join(out, "memory.svg"), "utf8")).toContain("GiB in use");
  });

  test("are none where they cannot be drawn, which is said and no failure", async () => {
    const preload = path.join(folder, "no-vega.cjs");
    writeFileSync(
      preload,
      `if (/render\\.mjs$/.test(process.argv[1])) throw new Error("Cannot find package 'vega'");`,
    );
    const out = withPlots("undrawn");
    const { code, errors } = await suite(out, "memory", { NODE_OPTIONS: `--require ${preload}` });
    expect(code, errors).toBe(0);
    expect(errors).toMatch(/^The plots were not drawn\. .*npm ci.*: Error: Cannot find package 'vega'$/m);
    expect(readdirSync(out).sort()).toEqual(["results.json", "results.md"]);
  });
});

test.each(["suite.js", "attach.js"])("%s says in a line where models cannot be written", async (script) => {
  const args = ["--driver", driver, "--dir", path.join(folder, "none")];
  const { code, errors } = await runIn(folder, script, args);
  expect(code).toBe(2);
  expect(errors).toMatch(/^Models cannot be written to .*none; --dir names another folder: ENOENT/m);
  expect(errors).not.toContain("    at ");
});

describe("a folder that results cannot go to", () => {
  test.each([
    ["below what is no real folder", () => "/proc/nope/x"],
    [
      "a file",
      () => {
        const file = path.join(folder, "file");
        writeFileSync(file, "");
        return file;
      },
    ],
    ["below a file", () => path.join(folder, "file", "x")],
  ])("is refused before anything is measured: %s", async (_, place) => {
    const out = place();
    const { code, errors } = await suite(out, "memory");
    expect(code).toBe(2);
    expect(errors).toMatch(/^The results cannot go to [^\n]*; --out names another folder: [^\n]*\n$/);
  });

  test("that takes no results.json is left without half of one", async () => {
    const out = path.join(folder, "taken");
    mkdirSync(path.join(out, "results.json"), { recursive: true });
    const { code, errors } = await suite(out, "memory");
    expect(code).toBe(2);
    expect(errors).toMatch(/results\.json could not be written; --out names another folder: EISDIR/);
    expect(readdirSync(out)).toEqual(["results.json"]);
  });

  test("may be several folders deep in one that is there", async () => {
    const out = path.join(folder, "several", "folders", "deep");
    const { code, errors } = await suite(out, "refcount");
    expect(code, errors).toBe(0);
    expect(readdirSync(out).sort()).toEqual(["results.json", "results.md"]);
  });
});
