// Several worker threads in one process: each with leases of its own, all with one mapping.
import { describe, expect, test } from "vitest";
import { type Child, startChild } from "../helpers/child.js";
import { block, MIB, sharings, someTensors, startOwner } from "../helpers/sharing.js";

async function startThreads(): Promise<Child> {
  const child = startChild("threads.cjs");
  await child.call("warmUp");
  return child;
}

describe.each(sharings)("%s", (sharing) => {
  async function published() {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    return { owner, socket: owner.socket, version };
  }

  test("threads hold leases of their own on one mapping", async () => {
    const { socket, version } = await published();
    const child = await startThreads();
    const checksums = await Promise.all([1, 2, 3].map(() => child.call("attach", { socket })));
    expect(checksums).toEqual([version.checksum, version.checksum, version.checksum]);
    expect(version.holders).toMatchObject([{ pid: child.pid, leases: 3 }]);
    expect(await child.call("mappings")).toEqual({ mappings: 1, references: 3 });
    await child.call("release", 0);
    expect(version.refCount).toBe(2);
    expect(await child.call("again", 0)).toBe(version.checksum);
    for (const index of [0, 1, 2]) await child.call("release", index);
    expect(await child.call("mappings")).toEqual({ mappings: 0, references: 0 });
    expect(version.refCount).toBe(0);
  });

  test.each(["terminate", "exit"])(
    "a thread that ends by %s unmaps what it held, and nothing else",
    async (end) => {
      const { socket, version } = await published();
      const child = await startThreads();
      await child.call("attach", { socket });
      await child.call("attach", { socket });
      await child.call(end, 0);
      expect(await child.call("mappings")).toEqual({ mappings: 1, references: 1 });
      expect(await child.call("again", 1)).toBe(version.checksum);
      // Its process lives. That the thread has let go of the memory is its farewell's to say.
      await version.waitForRefCount((count) => count === 2);
      await child.call("release", 1);
      await version.waitForRefCount((count) => count === 0);
    },
  );

  test("the memory of a thread that was terminated is freed while its process lives", async () => {
    const { owner, socket, version } = await published();
    const child = await startThreads();
    await child.call("attach", { socket });
    await owner.retire("llm");
    await child.call("terminate", 0);
    await version.whenFreed();
    expect(version.state).toBe("freed");
  });

  test("a thread that ends while it releases counts until its work is done and the memory unmapped", async () => {
    const { owner, socket } = await published();
    const busy = await owner.load("busy", block(32 * MIB), { sharing, writable: true });
    const child = await startThreads();
    await child.call("work", { socket }, 40);
    expect(busy.refCount).toBe(1);
    await child.call("terminate", 0);
    await busy.waitForRefCount((count) => count === 0);
    expect(await child.call("mappings")).toEqual({ mappings: 0, references: 0 });
  });

  test("a process ends with threads that hold leases", async () => {
    const { socket, version } = await published();
    const child = await startThreads();
    await child.call("attach", { socket });
    await child.call("attach", { socket });
    child.mayDie = true;
    child.call("exitProcess").catch(() => {});
    expect(await child.exited).toEqual({ code: 0, signal: null });
    await version.waitForRefCount((count) => count === 0);
  });
});
