// What sharing costs on a GPU: the weights once, and a context for each worker; none for the owner.
import { expect, test } from "vitest";
import { startChild } from "../helpers/child.js";
import { describeOnGpu } from "../helpers/gpu.js";
import { freeMemory } from "../helpers/memory.js";
import { folder, MIB, startWorker } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

const size = 512 * MIB;
// Far less than a context takes, and more than the driver's own small allocations.
const slack = 64 * MIB;

describeOnGpu("device memory on a GPU", () => {
  const used = async (before: number[]) => before[0]! - (await freeMemory())[0]!;

  test("an owner of vmm weights has the weights there, and no context", async () => {
    const before = await freeMemory();
    const owner = startChild("owner.cjs");
    await owner.call("listen", { socket: newSocket(folder) });
    await owner.call("loadBlock", "llm", size, { sharing: "vmm" });
    await owner.call("loadersGone");
    expect(Math.abs((await used(before)) - size)).toBeLessThan(slack);
  });

  test.each(["vmm", "ipc"])("%s: a further worker costs a context, and no weights", async (sharing) => {
    const owner = startChild("owner.cjs");
    const socket = newSocket(folder);
    await owner.call("listen", { socket });
    await owner.call("loadBlock", "llm", size, { sharing });
    await owner.call("loadersGone");
    const before = await freeMemory();
    const idle = await startWorker();
    const context = await used(before);
    expect(context).toBeGreaterThan(slack);
    await idle.call("attach", "llm", { socket });
    expect((await used(before)) - context).toBeLessThan(slack);
    const second = await startWorker();
    await second.call("attach", "llm", { socket });
    expect((await used(before)) - 2 * context).toBeLessThan(slack);
  });
});
