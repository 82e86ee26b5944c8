// What is forgotten without dispose() is let go of all the same, with a warning.
import { once } from "node:events";
import { expect, test } from "vitest";
import { Stream, VmmAllocation } from "../../dist/lib/cuda/index.js";
import { expectMemoryBack, freeMemory } from "../helpers/memory.js";

const collect = globalThis.gc!;

test("a collected allocation is freed, and a warning says which", async () => {
  const before = await freeMemory();
  const warned = once(process, "warning");
  await (async () => {
    const vmm = await VmmAllocation.create(8 << 20);
    await vmm.map();
  })();
  const back = expectMemoryBack(before, () => {
    collect();
    return freeMemory();
  });
  const [warning] = await warned;
  expect(warning).toMatchObject({
    code: "CUDA_IPC_COLLECTED",
    message: expect.stringContaining("8388608 bytes"),
  });
  await back;
});

test("what work is pending on stays until it is done", async () => {
  const pending = (await Stream.create()).synchronize();
  collect();
  await pending;
});
