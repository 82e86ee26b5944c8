import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { checkResults } from "../../dist/bench/suite/check.js";
import type { Results } from "../../dist/bench/suite/results.js";

const committed = path.join(__dirname, "../../bench/results");

// biome-ignore lint/suspicious/noExplicitAny: what is checked may be anything
type Loose = any;

/** A results file that is sound, as it is read from the disk. */
const sound = (): Loose => {
  const [folder] = readdirSync(committed);
  return JSON.parse(readFileSync(path.join(committed, folder!, "results.json"), "utf8"));
};
const find = (results: Results, measure: string) => results.series.find((one) => one.measure === measure)!;

/** Gives what lies at a path another value; undefined takes it out, as JSON does. */
const put =
  (where: string, value: unknown) =>
  (results: Loose): void => {
    const names = where.split("/");
    const last = names.pop()!;
    const holder = names.reduce((inner, name) => inner[name], results);
    holder[last] = value;
  };

describe("the check of a results file", () => {
  test.each(readdirSync(committed))("finds %s sound", (folder) => {
    const text = readFileSync(path.join(committed, folder, "results.json"), "utf8");
    expect(checkResults(JSON.parse(text))).toEqual([]);
  });

  test.each<[string, (results: Loose) => void, RegExp]>([
    ["an infinite number", put("headline/loadGBps", Infinity), /\/headline\/loadGBps/],
    ["one below everything", put("headline/attachMs/vmm", -Infinity), /\/headline\/attachMs\/vmm/],
    ["an infinite sample", put("series/0/samples/0", Infinity), /\/series\/0\/samples\/0/],
    ["no runs", put("runs", undefined), /\/runs/],
    ["an empty list of runs", put("runs", []), /\/runs/],
    ["no peers", put("peers", undefined), /\/peers/],
    ["no driver", put("driver", undefined), /\/driver/],
    ["no label", put("label", undefined), /\/label/],
    ["no machine", put("runs/0/machine", undefined), /\/runs\/0\/machine/],
    ["another machine's label", put("label", "G"), /The label is "G", but the last run is of "NVIDIA/],
    ["an unknown unit", put("series/0/unit", "min"), /\/series\/0\/unit/],
    [
      "another unit in one series",
      (r) => {
        find(r, "attach-bytes").unit = "us";
      },
      /^attach-bytes: .* but another series of it in /,
    ],
    [
      "another unit of what the headline is made of",
      (r) => {
        for (const one of r.series) if (one.measure === "load") one.unit = "ms";
      },
      /headline\.loadGBps is .*, but the samples give null\./,
    ],
    [
      "a series that is there twice",
      (r) => void r.series.push(r.series[3]),
      /^The series .* is there twice\.$/,
    ],
    [
      "an outcome that is there twice",
      (r) => void r.outcomes.push(r.outcomes[0]),
      /^The outcome of load is /,
    ],
    ["a run that is not there", put("outcomes/0/run", 1), /^load is of run 1, but there are 1\.$/],
    [
      "a series of no measure",
      (r) => void r.outcomes.shift(),
      /^load: .* is of a measure that has no outcome\.$/,
    ],
    [
      "a measure without samples",
      (r) => {
        r.series = r.series.filter((one: Loose) => one.measure !== "start");
      },
      /^start is done, but has no samples\.$/,
    ],
    ["samples of nobody", put("peers", []), /^There are samples of safetensors, but no peer/],
    [
      "only failures, and no headline",
      (r) => {
        for (const outcome of r.outcomes) outcome.status = "failed";
        const none = { vmm: null, ipc: null };
        for (const name of Object.keys(r.headline))
          r.headline[name] = typeof r.headline[name] === "number" ? null : none;
      },
      /^No measure is done\.$/,
    ],
    [
      "one failure",
      (r) => Object.assign(r.outcomes.at(-1), { status: "failed", reason: "it crashed\nhere" }),
      /^[a-z-]+ failed: it crashed$/,
    ],
  ])("finds %s", (_, tamper, sentence) => {
    const results = sound();
    tamper(results);
    const problems = checkResults(results);
    expect(problems.join("\n")).toMatch(new RegExp(sentence.source, "m"));
  });

  test.each([null, [], "text", {}])("refuses %j", (value) => {
    expect(checkResults(value)).not.toEqual([]);
  });
});
