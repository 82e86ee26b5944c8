// The owner of "vmm" weights: no driver, no context; and what becomes of a load when its owner dies.
import { describe, expect, test } from "vitest";
import type { ChildError } from "../helpers/child.js";
import { hostMachine, startHostOwner, startHostWorker } from "../helpers/host.js";
import { inspect } from "../helpers/inspect.js";
import { folder, MIB } from "../helpers/sharing.js";
import { slowCopies, stuckCopies } from "./faults.js";
import { ended, loaderOf, loadersOf } from "./loaders.js";

const block = (bytes: number) => ({ block: Buffer.alloc(bytes, 3) });

describe("an owner", () => {
  test("of vmm weights never brings the driver up", async () => {
    const machine = hostMachine();
    const { owner, socket } = await startHostOwner(machine, folder, { faults: "" });
    for (const bytes of [3 * MIB, 5 * MIB]) await owner.call("load", "set", block(bytes));
    const worker = await startHostWorker(machine);
    const key = await worker.call<number>("attach", "set", { socket });
    expect((await worker.call<Buffer>("read", key, "block")).equals(block(5 * MIB).block)).toBe(true);
    await worker.call("release", key);
    expect(await owner.call("driverIsUp")).toBe(false);
    await owner.call("retire", "set");
    await owner.call("close");
    expect(await owner.call("driverIsUp")).toBe(false);
    await machine.expectEmpty();
  });

  test("of ipc weights has to, and so has one that loads by itself", async () => {
    const machine = hostMachine();
    for (const [options, sharing] of [
      [{}, "ipc"],
      [{ loading: "inline" }, "vmm"],
    ] as const) {
      const { owner } = await startHostOwner(machine, folder, { faults: "", options });
      expect(await owner.call("load", "set", block(MIB), { sharing })).toMatchObject({ sharing });
      expect(await owner.call("driverIsUp")).toBe(true);
      await owner.call("close");
    }
  });

  test("keeps one descriptor for each slab and one for the list of its tensors, and none of its loaders", async () => {
    const machine = hostMachine();
    const { owner } = await startHostOwner(machine, folder, { faults: "" });
    const openFds = () => owner.call<Record<string, number>>("openFds");
    const failingLoad = () =>
      expect(owner.call("load", "set", "/no/such/file")).rejects.toMatchObject({
        code: "ERR_CUDA_IPC_FILE",
      });
    // Of what Node opens for the first process that it starts, and keeps.
    await failingLoad();
    const before = await openFds();
    await owner.call("load", "first", block(MIB));
    await owner.call("load", "second", block(MIB));
    // What tensors from memory travel in is not left to the garbage collector.
    expect(Object.keys(await openFds()).filter((kind) => kind.includes("cuda-ipc weights"))).toEqual([]);
    await failingLoad();
    const surplus = async () =>
      Object.values(inspect.surplus(before, await openFds())).reduce((sum, count) => sum + count, 0);
    expect(await inspect.watchFor(surplus, (count) => count === 4)).toBe(4);
  });

  test("tells how much memory a load needs and how much is free, and keeps what it has", async () => {
    const machine = hostMachine({ memory: "64M" });
    const { owner } = await startHostOwner(machine, folder, { faults: "" });
    const { id } = await owner.call<{ id: string }>("load", "set", block(40 * MIB));
    const failure = await owner
      .call<ChildError>("load", "set", block(40 * MIB))
      .catch((error: ChildError) => error);
    expect(failure).toMatchObject({
      code: "ERR_CUDA_IPC_OUT_OF_MEMORY",
      cudaName: "CUDA_ERROR_OUT_OF_MEMORY",
      details: { neededBytes: 40 * MIB },
    });
    expect(failure.details!.freeBytes).toBeLessThanOrEqual(24 * MIB);
    expect(await owner.call("versions")).toMatchObject([{ id, state: "current" }]);
  });

  test("loads several sets at once", async () => {
    const machine = hostMachine();
    const { owner } = await startHostOwner(machine, folder, { faults: slowCopies });
    const loads = ["a", "b"].map((set) =>
      owner.call<{ checksum: string }>("loadTellingProgress", set, block(20 * MIB), { threads: 1 }),
    );
    const both = await inspect.watchFor(
      () => loadersOf(owner.pid),
      (loaders) => loaders.length === 2,
    );
    expect(both).toHaveLength(2);
    const [a, b] = await Promise.all(loads);
    expect(a!.checksum).toBe(b!.checksum);
  });

  test("loads as ipc where a device cannot share descriptors, unless it was told to", async () => {
    const machine = hostMachine();
    machine.env.CUDA_IPC_HOST_VMM = "0";
    const { owner } = await startHostOwner(machine, folder, { faults: "" });
    await expect(owner.call("load", "set", block(MIB), { sharing: "vmm" })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_NO_VMM",
    });
    expect(await owner.call("load", "set", block(MIB))).toMatchObject({ sharing: "ipc" });
  });

  test("does not hand its Node's options on", async () => {
    const machine = hostMachine();
    const { owner } = await startHostOwner(machine, folder, { faults: "" });
    await owner.call("setEnv", "NODE_OPTIONS", "--require=/no/such/module");
    expect(await owner.call("load", "set", block(MIB))).toMatchObject({ number: 1 });
  });
});

describe("when the owner is killed in the middle of a load", () => {
  test.each(["running", "stopped"])("its loader, %s, ends with it, and the memory is free", async (state) => {
    const machine = hostMachine();
    const { owner } = await startHostOwner(machine, folder, { faults: stuckCopies });
    owner.call("loadTellingProgress", "set", block(40 * MIB), { threads: 1 }).catch(() => {});
    await owner.event("progress");
    const loader = await loaderOf(owner.pid);
    expect(await machine.memoryInUse()).toBeGreaterThanOrEqual(40 * MIB);
    if (state === "stopped") process.kill(loader, "SIGSTOP");
    const gone = ended(loader);
    owner.kill("SIGKILL");
    await gone;
    await machine.expectEmpty();
  });
});
