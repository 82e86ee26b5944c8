// Weights that nobody released are collected: with a warning, and only where nothing can still use the memory.
import { expect, test } from "vitest";
import { sharings, someTensors, startOwner, startWorker } from "../helpers/sharing.js";

async function published(sharing: "vmm" | "ipc") {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors(), { sharing });
  return { socket: owner.socket, version };
}

test.each(sharings)("%s: collected unreleased, they warn and are released", async (sharing) => {
  const { socket, version } = await published(sharing);
  const worker = await startWorker();
  await worker.call("attachAndForget", "llm", { socket }, false);
  expect(version.refCount).toBe(1);
  await worker.call("collect");
  expect(await worker.event("warning")).toBe("CUDA_IPC_UNRELEASED");
  await version.waitForRefCount((count) => count === 0);
});

test.each(sharings)("%s: with a raw pointer out, they stay until the process ends", async (sharing) => {
  const { socket, version } = await published(sharing);
  const worker = await startWorker();
  await worker.call("attachAndForget", "llm", { socket }, true);
  await worker.call("collect");
  expect(await worker.event("warning")).toBe("CUDA_IPC_UNRELEASED_POINTER");
  await worker.call("collect");
  expect(version.refCount).toBe(1);
  expect(await worker.call("mappings")).toEqual({ mappings: 1, references: 1 });
  expect(await worker.finish()).toBe(0);
  await version.waitForRefCount((count) => count === 0);
});

test("a tensor keeps its weights, and so the lease", async () => {
  const { socket, version } = await published("vmm");
  const worker = await startWorker();
  await worker.call("attachForTensor", "llm", { socket }, "floats");
  await worker.call("collect");
  expect(version.refCount).toBe(1);
  expect(await worker.call("readTensor")).toEqual(Buffer.from(someTensors().floats.buffer));
  await worker.call("forgetTensor");
  await worker.call("collect");
  expect(await worker.event("warning")).toBe("CUDA_IPC_UNRELEASED");
  await version.waitForRefCount((count) => count === 0);
});

test("what was released in time is collected without a word", async () => {
  const { socket, version } = await published("vmm");
  const worker = await startWorker();
  await worker.call("attachThenRelease", "llm", { socket });
  await worker.call("collect");
  await worker.call("attachAndForget", "llm", { socket }, false);
  await worker.call("collect");
  expect(await worker.event("warning")).toBe("CUDA_IPC_UNRELEASED");
  await version.waitForRefCount((count) => count === 0);
  expect(worker.events.filter(({ event }) => event === "warning")).toEqual([]);
});
