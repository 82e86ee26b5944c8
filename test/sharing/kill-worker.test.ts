// Workers that are killed: their leases end, everybody else is untouched, a new one attaches.
import { describe, expect, test } from "vitest";
import { startChild } from "../helpers/child.js";
import { hostMachine, startHostOwner, startHostWorker } from "../helpers/host.js";
import { expectMemoryBack, freeMemory } from "../helpers/memory.js";
import { block, folder, MIB, sharings, someTensors, startOwner, startWorker } from "../helpers/sharing.js";

describe.each(sharings)("%s", (sharing) => {
  test("killed while it holds leases", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const { socket } = owner;
    const [stays, dies] = [await startWorker(), await startWorker()];
    const key = await stays.call<number>("attach", "llm", { socket });
    await dies.call("attach", "llm", { socket });
    await dies.call("attach", "llm", { socket });
    expect(version.refCount).toBe(3);
    dies.kill("SIGKILL");
    await version.waitForRefCount((count) => count === 1);
    expect(version.holders).toMatchObject([{ pid: stays.pid, leases: 1 }]);
    expect(await stays.call("computeChecksum", key)).toBe(version.checksum);
    const next = await startWorker();
    const mapped = await next.call<number>("attach", "llm", { socket });
    expect(await next.call("computeChecksum", mapped)).toBe(version.checksum);
    expect(version.refCount).toBe(2);
  });

  test("killed as soon as its lease is granted", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const worker = await startWorker();
    worker.call("attach", "llm", { socket: owner.socket }).catch(() => {});
    await version.waitForRefCount((count) => count === 1);
    worker.kill("SIGKILL");
    await version.waitForRefCount((count) => count === 0);
  });

  test("the last one killed: a retired version's memory comes back", async () => {
    const before = await freeMemory();
    const owner = await startOwner();
    const version = await owner.load("llm", block(8 * MIB), { sharing });
    const worker = await startWorker();
    await worker.call("attach", "llm", { socket: owner.socket });
    await owner.retire("llm");
    expect(version.state).toBe("retired");
    worker.kill("SIGKILL");
    await version.whenFreed();
    await worker.exited;
    await expectMemoryBack(before);
  });

  test("killed without ever having opened what it was given", async () => {
    const before = await freeMemory();
    const owner = await startOwner();
    const version = await owner.load("llm", block(8 * MIB), { sharing });
    const peer = startChild("peer.cjs");
    await peer.call("connect", owner.socket, { deaf: true });
    await peer.call("hello");
    await peer.call("requestAttach", "llm");
    await version.waitForRefCount((count) => count === 1);
    await owner.retire("llm");
    expect(version.refCount).toBe(1);
    peer.kill("SIGKILL");
    await version.whenFreed();
    await expectMemoryBack(before);
  });
});

const attachCalls = {
  vmm: ["cuMemImportFromShareableHandle", "cuMemAddressReserve", "cuMemMap", "cuMemSetAccess"],
  ipc: ["cuDevicePrimaryCtxRetain", "cuIpcOpenMemHandle"],
};

describe.each(sharings)("killed at a driver call of its attach (%s)", (sharing) => {
  test.each(attachCalls[sharing])("%s", async (call) => {
    const machine = hostMachine();
    const { owner, socket } = await startHostOwner(machine, folder);
    const { id } = await owner.call<{ id: string }>("load", "llm", someTensors(), { sharing });
    const worker = await startHostWorker(machine, { faults: `${call}:1=kill` });
    worker.mayDie = true;
    await expect(worker.call("attach", "llm", { socket })).rejects.toThrow("SIGKILL");
    await owner.call("waitForRefCount", id, 0);
    await owner.call("close");
    await machine.expectEmpty();
  });
});
