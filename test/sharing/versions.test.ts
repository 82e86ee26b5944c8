// The life of versions: published, superseded, retired, pinned, and freed exactly when nobody holds them any more.
import { describe, expect, test } from "vitest";
import { expectMemoryBack, expectMemoryUsed, freeMemory } from "../helpers/memory.js";
import { block, MIB, sharings, someTensors, startOwner, startWorker } from "../helpers/sharing.js";

const size = 8 * MIB;

describe.each(sharings)("%s", (sharing) => {
  test("a new version is what new workers get; the old one lives until its last lease", async () => {
    const before = await freeMemory();
    const owner = await startOwner();
    const { socket } = owner;
    const first = await owner.load("llm", block(size, 1), { sharing });
    const worker = await startWorker();
    const old = await worker.call<number>("attach", "llm", { socket });
    const second = await owner.load("llm", block(size, 2), { sharing });
    expect([first.state, second.state]).toEqual(["superseded", "current"]);
    expect([first.number, second.number]).toEqual([1, 2]);
    expect(await worker.event("superseded")).toMatchObject({ key: old, detail: { version: second.id } });
    const now = await worker.call<number>("attach", "llm", { socket });
    expect(await worker.call("facts", now)).toMatchObject({
      version: { number: 2 },
      checksum: second.checksum,
    });
    expect(await worker.call("computeChecksum", old)).toBe(first.checksum);
    await expectMemoryUsed(before, 2 * size);
    await worker.call("release", old);
    await first.whenFreed();
    expect(first.state).toBe("freed");
    expect(owner.versions()).toEqual([second]);
  });

  test("a superseded version without leases is freed at once", async () => {
    const owner = await startOwner();
    const first = await owner.load("llm", block(size, 1), { sharing });
    const before = await freeMemory();
    await owner.load("llm", block(size, 2), { sharing });
    await first.whenFreed();
    await expectMemoryBack(before);
  });

  test("freed with the last of several leases, and not before", async () => {
    const before = await freeMemory();
    const owner = await startOwner();
    const version = await owner.load("llm", block(size), { sharing });
    const { socket } = owner;
    const workers = [await startWorker(), await startWorker()];
    const keys = await Promise.all(workers.map((worker) => worker.call<number>("attach", "llm", { socket })));
    const extra = await workers[0]!.call<number>("retain", keys[0]);
    await owner.retire("llm");
    for (const [worker, key, left] of [
      [workers[0]!, keys[0], 2],
      [workers[1]!, keys[1], 1],
    ] as const) {
      await worker.call("release", key);
      expect(version).toMatchObject({ state: "retired", refCount: left });
      await expectMemoryUsed(before, size);
    }
    await workers[0]!.call("release", extra);
    await version.whenFreed();
    for (const worker of workers) await worker.finish();
    await expectMemoryBack(before);
  });

  test("a retired set is handed out to nobody; who has it keeps it, and may retain it", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const { socket } = owner;
    const worker = await startWorker();
    const key = await worker.call<number>("attach", "llm", { socket });
    await owner.retire("llm");
    expect(await worker.event("retired")).toMatchObject({ key });
    await expect(worker.call("attach", "llm", { socket })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_NO_SET",
    });
    await expect(worker.call("attach", "llm", { socket, version: version.id })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_RETIRED",
    });
    const second = await worker.call<number>("retain", key);
    await worker.call("release", key);
    expect(await worker.call("computeChecksum", second)).toBe(version.checksum);
    expect(version.refCount).toBe(1);
    await worker.call("release", second);
    await version.whenFreed();
  });

  test("a pinned version is kept without leases, until it is unpinned", async () => {
    const owner = await startOwner();
    const first = await owner.load("llm", someTensors(1), { sharing, pinned: true });
    await owner.load("llm", someTensors(2), { sharing });
    expect(first).toMatchObject({ state: "superseded", pinned: true, refCount: 0 });
    const worker = await startWorker();
    const key = await worker.call<number>("attach", "llm", { socket: owner.socket, version: first.id });
    expect(await worker.call("toHost", key, "floats")).toEqual(someTensors(1).floats);
    first.unpin();
    expect(first.state).toBe("superseded");
    await worker.call("release", key);
    await first.whenFreed();
  });
});

test("sets are independent of each other", async () => {
  const owner = await startOwner();
  const [a, b] = [await owner.load("a", someTensors(1)), await owner.load("b", someTensors(2))];
  await owner.retire("a");
  await a.whenFreed();
  expect(b.state).toBe("current");
  expect(owner.current("a")).toBeUndefined();
  expect(owner.current("b")).toBe(b);
  await expect(owner.retire("a")).rejects.toMatchObject({ code: "ERR_CUDA_IPC_NO_SET" });
});
