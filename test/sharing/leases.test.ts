// One attach is one lease: counted exactly, ended once, and never instead of another.
import { describe, expect, test } from "vitest";
import { sharings, someTensors, startOwner, startWorker } from "../helpers/sharing.js";

describe.each(sharings)("%s", (sharing) => {
  async function published() {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    return { socket: owner.socket, version };
  }

  test("refCount is the number of leases, holders says whose", async () => {
    const { socket, version } = await published();
    expect(version.refCount).toBe(0);
    expect(version.holders).toEqual([]);
    const [one, other] = [await startWorker(), await startWorker()];
    const before = Date.now();
    const key = await one.call<number>("attach", "llm", { socket });
    await one.call("attach", "llm", { socket });
    await other.call("attach", "llm", { socket });
    expect(version.refCount).toBe(3);
    expect(version.refCountExact).toBe(true);
    const holder = (pid: number, leases: number) =>
      expect.objectContaining({
        pid,
        leases,
        uid: process.getuid!(),
        startTime: expect.stringMatching(/^\d+$/),
      });
    expect(version.holders).toHaveLength(2);
    expect(version.holders).toEqual(expect.arrayContaining([holder(one.pid, 2), holder(other.pid, 1)]));
    for (const { since } of version.holders) expect(since).toBeGreaterThanOrEqual(before);
    expect(await one.call("refCount", key)).toEqual({ count: 3, exact: true });
    await one.call("release", key);
    expect(version.refCount).toBe(2);
  });

  test("retain is one more lease, which outlives the first", async () => {
    const { socket, version } = await published();
    const worker = await startWorker();
    const first = await worker.call<number>("attach", "llm", { socket });
    const second = await worker.call<number>("retain", first);
    expect(version.refCount).toBe(2);
    await worker.call("release", first);
    expect(version.refCount).toBe(1);
    expect(await worker.call("toHost", second, "floats")).toEqual(someTensors().floats);
    await expect(worker.call("retain", first)).rejects.toMatchObject({ code: "ERR_CUDA_IPC_RELEASED" });
  });

  test("releasing twice ends one lease", async () => {
    const { socket, version } = await published();
    const worker = await startWorker();
    const key = await worker.call<number>("attach", "llm", { socket });
    await worker.call("attach", "llm", { socket });
    await Promise.all([worker.call("release", key), worker.call("release", key)]);
    await worker.call("release", key);
    expect(version.refCount).toBe(1);
    expect(await worker.call("facts", key)).toMatchObject({ disposed: true });
  });

  test("of two consumers in one process, the one that stays can go on reading", async () => {
    const { socket, version } = await published();
    const worker = await startWorker();
    const keys = await Promise.all([1, 2].map(() => worker.call<number>("attach", "llm", { socket })));
    await worker.call("release", keys[1]);
    await worker.call("release", keys[1]);
    expect(await worker.call("toHost", keys[0], "floats")).toEqual(someTensors().floats);
    expect(version.refCount).toBe(1);
  });

  test("what another process releases ends nothing here", async () => {
    const { socket, version } = await published();
    const [stays, goes] = [await startWorker(), await startWorker()];
    const key = await stays.call<number>("attach", "llm", { socket });
    await goes.call("release", await goes.call<number>("attach", "llm", { socket }));
    expect(version.holders).toMatchObject([{ pid: stays.pid, leases: 1 }]);
    expect(await stays.call("computeChecksum", key)).toBe(version.checksum);
  });

  test("after release its tensors say so", async () => {
    const { socket } = await published();
    const worker = await startWorker();
    const key = await worker.call<number>("attach", "llm", { socket });
    await worker.call("release", key);
    for (const command of ["read", "pointer"]) {
      await expect(worker.call(command, key, "floats")).rejects.toMatchObject({
        code: "ERR_CUDA_IPC_RELEASED",
      });
    }
  });
});

test("attaching to what is not there says what is", async () => {
  const owner = await startOwner();
  await owner.load("llm", someTensors());
  const worker = await startWorker();
  const { socket } = owner;
  await expect(worker.call("attach", "lml", { socket })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_NO_SET",
    message: expect.stringContaining('"llm"'),
  });
  const version = "0".repeat(32);
  await expect(worker.call("attach", "llm", { socket, version })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_NO_VERSION",
  });
  await expect(worker.call("attach", "llm", { socket: `${socket}.none` })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_NO_OWNER",
  });
});

test("a process may hold only so many leases", async () => {
  const owner = await startOwner({ limits: { leasesPerProcess: 2 } });
  const version = await owner.load("llm", someTensors());
  const worker = await startWorker();
  const { socket } = owner;
  const first = await worker.call<number>("attach", "llm", { socket });
  await worker.call("attach", "llm", { socket });
  await expect(worker.call("attach", "llm", { socket })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_LEASE_LIMIT",
  });
  await worker.call("release", first);
  await worker.call("attach", "llm", { socket });
  expect(version.refCount).toBe(2);
});
