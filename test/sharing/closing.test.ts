// An owner that is closed while others hold its weights.
import { expect, test } from "vitest";
import { Owner } from "../../dist/lib/index.js";
import { expectMemoryBack, expectMemoryUsed, freeMemory } from "../helpers/memory.js";
import { block, folder, MIB, sharings, someTensors, startOwner, startWorker } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

const size = 8 * MIB;

test("vmm: let go of, and whole in the hands of whoever holds it", async () => {
  const before = await freeMemory();
  const owner = await Owner.listen({ socket: newSocket(folder) });
  const version = await owner.load("llm", block(size), { sharing: "vmm" });
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket: owner.socket });
  await owner.close();
  await worker.event("ownerlost");
  await expectMemoryUsed(before, size);
  expect(await worker.call("computeChecksum", key)).toBe(version.checksum);
  await worker.call("release", key);
  await worker.finish();
  await expectMemoryBack(before);
});

test("ipc: waited for", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors(), { sharing: "ipc" });
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket: owner.socket });
  const order: string[] = [];
  const closed = owner.close().then(() => order.push("closed"));
  expect(await worker.call("computeChecksum", key)).toBe(version.checksum);
  const released = version.waitForRefCount((count) => count === 0).then(() => order.push("released"));
  await worker.call("release", key);
  await Promise.all([closed, released]);
  expect(order).toEqual(["released", "closed"]);
});

test("ipc: waited for until the caller has had enough; then it can be closed again", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors(), { sharing: "ipc" });
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket: owner.socket });
  const controller = new AbortController();
  const closing = owner.close({ signal: controller.signal });
  controller.abort("enough");
  await expect(closing).rejects.toBe("enough");
  expect(await worker.call("computeChecksum", key)).toBe(version.checksum);
  await worker.call("release", key);
  await owner.close();
});

test("ipc: or refused, and the owner goes on", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors(), { sharing: "ipc" });
  const worker = await startWorker();
  const { socket } = owner;
  const key = await worker.call<number>("attach", "llm", { socket });
  await expect(owner.close({ ipcLeases: "refuse" })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_LEASES_HELD",
    details: { leases: 1 },
  });
  const second = await worker.call<number>("attach", "llm", { socket });
  expect(version.refCount).toBe(2);
  for (const each of [key, second]) await worker.call("release", each);
  await owner.close({ ipcLeases: "refuse" });
});

test("nobody is let in while it waits", async () => {
  const owner = await startOwner();
  await owner.load("llm", someTensors(), { sharing: "ipc" });
  const [holder, late] = [await startWorker(), await startWorker()];
  const { socket } = owner;
  const key = await holder.call<number>("attach", "llm", { socket });
  const closed = owner.close();
  for (const worker of [holder, late]) {
    await expect(worker.call("attach", "llm", { socket })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_CLOSED",
    });
  }
  await holder.call("release", key);
  await closed;
  await expect(owner.load("llm", someTensors())).rejects.toMatchObject({ code: "ERR_CUDA_IPC_CLOSED" });
});

test.each(sharings)("%s: with a pinned version and nobody there, nothing is left", async (sharing) => {
  const before = await freeMemory();
  const owner = await startOwner();
  await owner.load("llm", block(size), { sharing, pinned: true });
  await owner.close();
  await expectMemoryBack(before);
});

test("`await using` closes it", async () => {
  const socket = newSocket(folder);
  {
    await using owner = await Owner.listen({ socket });
    await owner.load("llm", someTensors());
  }
  await startOwner({ socket });
});
