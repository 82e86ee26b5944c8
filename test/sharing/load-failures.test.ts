// A load that fails, half way or at once, gives a coded error, leaves nothing and changes nothing.
import { existsSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test, vi } from "vitest";
import { hostMachine, startHostOwner, startHostWorker } from "../helpers/host.js";
import {
  folder,
  MIB,
  modelFile,
  sharings,
  someTensors,
  startOwner,
  startWorker,
} from "../helpers/sharing.js";

// Slow from the fifth copy on: there is time to do something to a load that has begun.
const slow = "cuMemcpyHtoDAsync:5-=slow=100";

describe.each(sharings)("%s", (sharing) => {
  test("out of memory, with what was needed and what was free", async () => {
    const machine = hostMachine({ memory: "32M" });
    const { owner } = await startHostOwner(machine, folder);
    const { id } = await owner.call<{ id: string }>("loadBlock", "llm", 20 * MIB, { sharing });
    await expect(owner.call("loadBlock", "llm", 20 * MIB, { sharing })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_OUT_OF_MEMORY",
      details: { neededBytes: 20 * MIB, freeBytes: 12 * MIB },
    });
    expect(await machine.memoryInUse()).toBe(20 * MIB);
    expect(await owner.call("versions")).toMatchObject([{ id, state: "current" }]);
  });

  test("out of memory on the second device, when the first one's part is loaded", async () => {
    const machine = hostMachine({ memory: "32M" });
    const { owner } = await startHostOwner(machine, folder);
    await owner.call("loadBlock", "full", 28 * MIB, { sharing, device: 1 });
    const tensors = { first: new Uint8Array(8 * MIB), second: new Uint8Array(8 * MIB) };
    await expect(
      owner.call("load", "llm", tensors, { sharing, placement: { first: 0, second: 1 } }),
    ).rejects.toMatchObject({ code: "ERR_CUDA_IPC_OUT_OF_MEMORY" });
    expect(await machine.memoryInUse()).toBe(28 * MIB);
    await owner.call("retire", "full");
    await owner.call("load", "llm", tensors, { sharing, placement: { first: 0, second: 1 } });
  });

  test("aborted half way: the current version stays what it was", async () => {
    const machine = hostMachine();
    const { owner, socket } = await startHostOwner(machine, folder);
    const { checksum } = await owner.call<{ checksum: string }>("load", "llm", someTensors(), { sharing });
    await expect(
      owner.call("abortedLoad", "llm", await modelFile(64 * MIB), { sharing }),
    ).rejects.toMatchObject({ code: "ENOUGH" });
    expect(await machine.memoryInUse()).toBe(2 * MIB);
    const worker = await startHostWorker(machine);
    const key = await worker.call<number>("attach", "llm", { socket });
    expect(await worker.call("facts", key)).toMatchObject({ checksum, version: { number: 1 } });
  });

  test("the owner is closed while it loads", async () => {
    const machine = hostMachine();
    const { owner, socket } = await startHostOwner(machine, folder, { faults: slow });
    const loading = owner.call("loadTellingProgress", "llm", await modelFile(128 * MIB), { sharing });
    const refused = expect(loading).rejects.toMatchObject({ code: "ERR_CUDA_IPC_CLOSED" });
    await owner.event("progress");
    await owner.call("close");
    await refused;
    expect(existsSync(socket)).toBe(false);
    await machine.expectEmpty();
  });

  test("the file is cut short while it is read", async () => {
    const machine = hostMachine();
    const { owner } = await startHostOwner(machine, folder, { faults: slow });
    const file = await modelFile(128 * MIB);
    const loading = owner.call("loadTellingProgress", "llm", file, { sharing });
    const refused = expect(loading).rejects.toMatchObject({ code: "ERR_CUDA_IPC_FILE_CHANGED" });
    await owner.event("progress");
    truncateSync(file, MIB);
    await refused;
    await machine.expectEmpty();
  });

  test("the file is changed while it is read, in place and to the same size", async () => {
    const machine = hostMachine();
    const { owner } = await startHostOwner(machine, folder, { faults: slow });
    const file = await modelFile(128 * MIB);
    const loading = owner.call("loadTellingProgress", "llm", file, { sharing });
    const refused = expect(loading).rejects.toMatchObject({ code: "ERR_CUDA_IPC_FILE_CHANGED" });
    await owner.event("progress");
    utimesSync(file, new Date(), new Date(2001, 1));
    await refused;
    await machine.expectEmpty();
  });
});

test("a file that is none is refused, by name, before anything is allocated", async () => {
  const owner = await startOwner();
  const file = path.join(folder, "broken.safetensors");
  writeFileSync(file, "not a model");
  await expect(owner.load("llm", file)).rejects.toMatchObject({
    code: expect.stringMatching(/^ERR_CUDA_IPC_/),
    message: expect.stringContaining(file),
  });
  await expect(owner.load("llm", path.join(folder, "missing.safetensors"))).rejects.toMatchObject({
    code: expect.stringMatching(/^ERR_CUDA_IPC_/),
    message: expect.stringContaining("missing.safetensors"),
  });
  expect(owner.versions()).toEqual([]);
});

test("a load takes a signal where Node has no AbortSignal.any: 20.0 has none", async () => {
  const any = vi.spyOn(AbortSignal, "any").mockImplementation(() => {
    throw new TypeError("AbortSignal.any is not a function");
  });
  const owner = await startOwner();
  const { signal } = new AbortController();
  await owner.load("llm", someTensors(), { signal });
  const reason = new Error("enough");
  await expect(owner.load("llm", someTensors(), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect(owner.current("llm")).toMatchObject({ number: 1 });
  any.mockRestore();
});

test("loads of one set run one after the other, and one that fails does not stop the next", async () => {
  const owner = await startOwner();
  const results = await Promise.allSettled([
    owner.load("llm", someTensors(1)),
    owner.load("llm", path.join(folder, "nothing.safetensors")),
    owner.load("llm", someTensors(2)),
  ]);
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(owner.current("llm")).toMatchObject({ number: 2 });
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket: owner.socket });
  expect(await worker.call("toHost", key, "floats")).toEqual(someTensors(2).floats);
});

test("progress goes up to the whole", async () => {
  const owner = await startOwner();
  const seen: { bytes: number; totalBytes: number; rate: number }[] = [];
  const onProgress = (progress: (typeof seen)[number]) => seen.push(progress);
  await owner.load("llm", await modelFile(32 * MIB), { onProgress });
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.map(({ bytes }) => bytes)).toEqual(seen.map(({ bytes }) => bytes).toSorted((a, b) => a - b));
  expect(seen.at(-1)).toMatchObject({ bytes: 32 * MIB, totalBytes: 32 * MIB });
  expect(seen.at(-1)!.rate).toBeGreaterThan(0);
});
