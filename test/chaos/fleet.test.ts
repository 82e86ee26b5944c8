// The harness knows, after every hand-over that it broke, who the owner is and who stands by.
import { afterAll, beforeAll, expect, test } from "vitest";
import { ownerStatus } from "../../dist/lib/index.js";
import { temporaryFolder } from "../helpers/temporary.js";

const { Findings } = require("../../dist/bench/chaos/findings.js");
const { Fleet } = require("../../dist/bench/chaos/fleet.js");
const { Log } = require("../../dist/bench/chaos/log.js");
const { Versions } = require("../../dist/bench/chaos/versions.js");

const findings = new Findings(0);
const log = new Log({ write: () => true });
const versions = new Versions(findings);
const fleet = new Fleet({ folder: temporaryFolder(), workers: 0, concurrency: 1, findings, versions, log });

beforeAll(() => fleet.start());
afterAll(() => fleet.destroy());

test("what an owner's recovery has lost is told once", async () => {
  const owner = { call: async (name: string) => (name === "ledger" ? ledger : { restored: [2], lost: [3] }) };
  const ledger = { versions: [{ state: "current" }] };
  const other = Object.assign(Object.create(Fleet.prototype), { present: owner });
  expect((await other.recover()).lost).toEqual([3]);
  expect(await other.recover()).toEqual({ lost: [], texts: [] });
});

test("whoever is killed, and whenever", async () => {
  for (let round = 0; round < 16; round++) {
    await fleet.breakHandOver(round % 4 === 3 ? "successor" : "owner", (5 * round) % 40);
    const { pid } = await ownerStatus({ socket: fleet.socket });
    expect(fleet.owner.pid).toBe(pid);
    expect(fleet.standby).not.toBe(fleet.owner);
    expect(await fleet.standby.call("standsBy")).toBe(true);
    expect((await fleet.recover()).lost).toEqual([]);
  }
  expect(findings.broken(1, 5000)).toEqual(["requests: none was sent"]);
}, 60_000);
