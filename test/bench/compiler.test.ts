import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import type { Results } from "../../dist/bench/suite/results.js";
import { temporaryFolder } from "../helpers/temporary.js";
import { runIn } from "./run.js";

const folder = temporaryFolder();
const driver = process.env.CUDA_IPC_DRIVER || "host";

describe("without a C++ compiler", () => {
  test("the library is measured, and its peers in C++ are absent", async () => {
    const out = path.join(folder, "out");
    const filter = "attach-bytes,load-size,death";
    const args = ["--driver", driver, "--quick", "--out", out, "--filter", filter];
    const { code, errors } = await runIn(folder, "suite.js", args, { CXX: "no-such-compiler" });
    expect(code, errors).toBe(0);
    const results: Results = JSON.parse(readFileSync(path.join(out, "results.json"), "utf8"));
    const reason = "there is no no-such-compiler: install g++, or name another C++17 compiler in CXX";
    expect(results.outcomes.map(({ measure, status, reason: why }) => [measure, status, why])).toEqual([
      ["death", "skipped", `it needs the C++ deathwatch: ${reason}`],
      ["load-size", "done", undefined],
      ["attach-bytes", "done", undefined],
      ["death-peers", "done", undefined],
    ]);
    const ours = results.series.filter(({ measure }) => measure !== "death-peers");
    expect(new Set(ours.map(({ by }) => by))).toEqual(new Set(["cuda-ipc"]));
    expect(results.peers.filter(({ peer }) => peer.startsWith("C++"))).toEqual([
      { peer: "C++ deathwatch", measure: "death", status: "absent", reason },
      { peer: "C++ floor of loads", measure: "load-size", status: "absent", reason },
      { peer: "C++ floor", measure: "attach-bytes", status: "absent", reason },
    ]);
    const checked = await runIn(folder, "check.js", [path.join(out, "results.json")]);
    expect(checked).toMatchObject({ code: 0 });
  });
});
