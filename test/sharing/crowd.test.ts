// Many workers at once.
import { expect, test } from "vitest";
import { startChild } from "../helpers/child.js";
import { sharings, someTensors, startOwner } from "../helpers/sharing.js";

const size = 64;

test.each(sharings)(
  "%s: 64 workers attach at once, and die at once",
  async (sharing) => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const workers = Array.from({ length: size }, () => startChild());
    await Promise.all(workers.map((worker) => worker.call("pid")));
    const keys = await Promise.all(
      workers.map((worker) =>
        worker.call<number>("attach", "llm", { socket: owner.socket, timeout: 50_000 }),
      ),
    );
    expect(version.refCount).toBe(size);
    expect(new Set(version.holders.map(({ pid }) => pid))).toEqual(new Set(workers.map(({ pid }) => pid)));
    const checksums = await Promise.all(workers.map((worker, i) => worker.call("computeChecksum", keys[i])));
    expect(new Set(checksums)).toEqual(new Set([version.checksum]));
    // Half of them in good order, half by SIGKILL.
    await Promise.all(
      workers.map((worker, i) => (i % 2 === 0 ? worker.call("release", keys[i]) : worker.kill("SIGKILL"))),
    );
    await version.waitForRefCount((count) => count === 0);
  },
  180_000,
);
