// Owner and worker in one process: nothing is opened in the process that exported it.
import { describe, expect, test } from "vitest";
import { attach, type Weights } from "../../dist/lib/index.js";
import { native } from "../../dist/lib/native.js";
import { sharings, someTensors, startOwner, startWorker } from "../helpers/sharing.js";

describe.each(sharings)("%s", (sharing) => {
  test("the owner's process attaches like any other", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    await using weights = await attach("llm", { socket: owner.socket });
    expect(version.refCount).toBe(1);
    expect(version.holders).toMatchObject([{ pid: process.pid, leases: 1 }]);
    expect(await weights.tensor("floats").toHost()).toEqual(someTensors().floats);
    expect(await weights.computeChecksum()).toBe(version.checksum);
  });

  test("several leases there are one mapping, which the last release ends", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const all: Weights[] = [];
    for (let i = 0; i < 3; i++) all.push(await attach("llm", { socket: owner.socket }));
    expect(native.mappingStatistics()).toEqual({ mappings: 1, references: 3 });
    expect(new Set(all.map((weights) => weights.tensor("bytes").devicePointer)).size).toBe(1);
    for (const weights of all) await weights.release();
    expect(native.mappingStatistics()).toEqual({ mappings: 0, references: 0 });
    expect(version.refCount).toBe(0);
  });

  test("beside workers of other processes", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing, writable: true });
    const { socket } = owner;
    const worker = await startWorker();
    const key = await worker.call<number>("attach", "llm", { socket });
    const own = await attach("llm", { socket, access: "readwrite" });
    await own.tensor("bytes").write(Buffer.alloc(300, 5));
    expect(await worker.call("read", key, "bytes")).toEqual(Buffer.alloc(300, 5));
    expect(version.refCount).toBe(2);
    await own.release();
    expect(await worker.call("read", key, "bytes")).toEqual(Buffer.alloc(300, 5));
    expect(version.holders).toMatchObject([{ pid: worker.pid, leases: 1 }]);
  });

  test("what it holds outlives the version's retirement", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const weights = await attach("llm", { socket: owner.socket });
    await owner.retire("llm");
    expect(version.state).toBe("retired");
    expect(await weights.tensor("floats").toHost()).toEqual(someTensors().floats);
    await weights.release();
    await version.whenFreed();
    expect(version.state).toBe("freed");
  });
});
