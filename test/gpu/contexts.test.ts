// What sharing costs on a GPU: the weights once, and a context for each worker; none for the owner.
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { startChild } from "../helpers/child.js";
import { describeOnGpu } from "../helpers/gpu.js";
import { freeMemory } from "../helpers/memory.js";
import { folder, MIB, startWorker } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

const size = 512 * MIB;
// Far less than a context takes, and more than the driver's own small allocations.
const slack = 64 * MIB;

/** What it prints, numbers by line; undefined where it cannot be run. Memory is in MiB. */
function nvidiaSmi(query: string): number[][] | undefined {
  const { status, stdout } = spawnSync("nvidia-smi", [query, "--format=csv,noheader,nounits"], {
    encoding: "utf8",
  });
  if (status !== 0) return undefined;
  const lines = stdout.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => line.split(",").map(Number));
}

const sum = (lines: number[][]) => lines.reduce((total, [used = 0]) => total + used, 0);

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

  test("nvidia-smi knows no process of an owner of vmm weights", async ({ skip }) => {
    const usedBefore = nvidiaSmi("--query-gpu=memory.used");
    if (usedBefore === undefined) return skip("there is no nvidia-smi");
    const owner = startChild("owner.cjs");
    const socket = newSocket(folder);
    await owner.call("listen", { socket });
    await owner.call("loadBlock", "llm", size, { sharing: "vmm" });
    await owner.call("loadersGone");
    const used = nvidiaSmi("--query-gpu=memory.used")!;
    const worker = await startWorker();
    await worker.call("attach", "llm", { socket });
    const pids = nvidiaSmi("--query-compute-apps=pid,used_memory")!.map(([pid]) => pid);
    // Inside of a container it may show nobody, or pids of another namespace: then by what is in use.
    if (pids.includes(worker.pid)) expect(pids).not.toContain(owner.pid);
    const more = sum(used) - sum(usedBefore);
    expect(Math.abs(more * MIB - size)).toBeLessThan(slack);
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
