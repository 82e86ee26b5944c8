import { randomBytes } from "node:crypto";
import { Ledger } from "../../lib/sharing/ledger.js";
import { startWorker } from "../attach/latency.js";
import { millisecondsBetween, now } from "../common/clock.js";
import type { Measure } from "../suite/bench.js";
import { sparseDataset } from "../suite/dataset.js";
import { sharings, withOwner } from "./session.js";

export const refcount: Measure = {
  name: "refcount",
  title: "leases per second in the ledger and through the owner; tensor.devicePointer per call",
  limitSeconds: 90,
  async run(bench) {
    const { batches, ledgerOperations, ownerOperations, pointerReads } = bench.profile.refcount;
    bench.step("in the ledger");
    bench.record("cuda-ipc", "in process", "per second", {}, ledgerRates(batches, ledgerOperations));
    const file = await sparseDataset(bench, 4 << 20, 10);
    await withOwner(bench, async ({ owner, socket }) => {
      for (const sharing of await sharings(bench)) {
        bench.step(`through the owner, ${sharing}`);
        await owner.call("publish", sharing, file.path, sharing, bench.device);
        const worker = await startWorker(bench.device);
        try {
          const rates = await worker.call("leaseRates", sharing, socket, batches, ownerOperations);
          bench.record("cuda-ipc", "through the owner", "per second", { sharing }, rates);
          const times = await worker.call("pointerReads", sharing, socket, batches, pointerReads);
          bench.record("cuda-ipc", "tensor.devicePointer", "ns", { sharing }, times);
          await worker.end();
        } finally {
          worker.kill();
        }
        await owner.call("retire", sharing);
      }
    });
  },
};

/** Grants and releases by one process on one version: operations per second, of each batch. */
function ledgerRates(batches: number, operations: number): number[] {
  const ledger = new Ledger({ leases: 2 * operations, leasesPerProcess: 2 * operations });
  const version = randomBytes(16).toString("hex");
  const leases = Array.from({ length: operations / 2 }, () => randomBytes(16).toString("hex"));
  const connection = 1;
  ledger.addVersion({ id: version, set: "set", sharing: "vmm" });
  ledger.publish(version);
  ledger.connectionOpened(connection, identity);
  const rates: number[] = [];
  for (let batch = 0; batch <= batches; batch++) {
    const before = now();
    for (const lease of leases) ledger.grant({ lease, version, connection }, 0);
    for (const lease of leases) ledger.release([lease], connection);
    const rate = operations / (millisecondsBetween(before, now()) / 1e3);
    if (batch > 0) rates.push(rate);
  }
  if (ledger.refCount(version).count !== 0) throw new Error("The ledger did not come back to 0 leases.");
  return rates;
}

const identity = { key: "bench", pid: process.pid, startTime: "1", uid: 0, command: "bench", proven: true };
