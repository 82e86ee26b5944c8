// What is forgotten without dispose() is let go of all the same, with a warning.
import { once } from "node:events";
import { expect, test } from "vitest";
import { cudaMemGetInfo, Stream, VmmAllocation } from "../../dist/lib/cuda/index.js";

const collect = globalThis.gc!;

test("a collected allocation is freed, and a warning says which", async () => {
  const before = await cudaMemGetInfo();
  const warned = once(process, "warning");
  await (async () => {
    const vmm = await VmmAllocation.create(8 << 20);
    await vmm.map();
  })();
  const rounds = (async () => {
    while ((await cudaMemGetInfo()).freeBytes !== before.freeBytes) {
      collect();
      await new Promise(setImmediate);
    }
  })();
  const [warning] = await warned;
  expect(warning).toMatchObject({
    code: "CUDA_IPC_COLLECTED",
    message: expect.stringContaining("8388608 bytes"),
  });
  await rounds;
});

test("what work is pending on stays until it is done", async () => {
  const pending = (await Stream.create()).synchronize();
  collect();
  await pending;
});
