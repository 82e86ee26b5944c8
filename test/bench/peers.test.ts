import { describe, expect, test } from "vitest";
import { onceEach } from "../../dist/bench/suite/peers.js";
import { merge, type PeerState, type Results } from "../../dist/bench/suite/results.js";

const failed: PeerState = {
  peer: "PyTorch",
  measure: "attach-peers",
  status: "failed",
  reason: "it crashed",
};
const present: PeerState = { peer: "PyTorch", measure: "death-peers", status: "present", versions: {} };
const absent: PeerState = {
  peer: "CuPy",
  measure: "attach-peers",
  status: "absent",
  reason: "no such module",
};

describe("a peer that several measures ask for", () => {
  test("is told of once, as it was where it was worst", () => {
    const told = [{ ...failed, peer: "PyTorch (in attach-peers)" }, absent];
    expect(onceEach([failed, absent, present])).toEqual(told);
    expect(onceEach([present, failed, absent])).toEqual(told);
    expect(onceEach([present, { ...present, measure: "attach-peers" }])).toEqual([present]);
  });

  const machine = {} as Results["runs"][number]["machine"];
  const results = (measures: string[], peers: PeerState[]): Results => ({
    ...{ format: 1, driver: "host", label: "", quick: false, notes: [], series: [], peers },
    runs: [{ at: "", options: [], commit: "c", machine }],
    outcomes: measures.map((measure) => ({ measure, status: "done", seconds: 1, run: 0 })),
    headline: undefined as never,
  });

  test("keeps the state of each measure through a merge", () => {
    const before = results(["attach-peers"], [failed, absent]);
    expect(merge(before, results(["death-peers"], [present])).peers).toEqual([failed, absent, present]);
    const again = { ...failed, status: "present" as const };
    expect(merge(before, results(["attach-peers"], [again])).peers).toEqual([again]);
  });

  test("replaces the state of a file that has no measures", () => {
    const { measure: _, ...old } = failed;
    const { measure: __, ...other } = absent;
    const before = results(["attach-peers", "death-peers"], [old, other]);
    expect(merge(before, results(["death-peers"], [present])).peers).toEqual([other, present]);
  });
});
