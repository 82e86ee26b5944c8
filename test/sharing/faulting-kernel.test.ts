// A kernel that writes where its process may only read ends its own context, and nobody else's. On a GPU it is the
// hardware that refuses; test/gpu/ has more of that.
import { expect, test } from "vitest";
import { someTensors, startOwner, startWorker } from "../helpers/sharing.js";

test("a worker's kernel writes into weights that are mapped read-only: the worker is lost, the weights are not", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors(), { sharing: "vmm" });
  const { socket } = owner;
  const [good, bad] = [await startWorker(), await startWorker()];
  const key = await good.call<number>("attach", "llm", { socket });
  const own = await bad.call<number>("attach", "llm", { socket });
  // With its context lost it cannot let go of everything, as others are asked to.
  bad.mayDie = true;
  await expect(bad.call("fillByPointer", own, "bytes")).rejects.toMatchObject({
    cudaName: "CUDA_ERROR_ILLEGAL_ADDRESS",
  });
  // Whatever it does from here on fails, but it can still give its lease back.
  await expect(bad.call("read", own, "bytes")).rejects.toMatchObject({
    cudaName: "CUDA_ERROR_ILLEGAL_ADDRESS",
  });
  expect(await good.call("computeChecksum", key)).toBe(version.checksum);
  expect(version.refCount).toBe(2);
  await bad.call("release", own);
  expect(version.refCount).toBe(1);
  const next = await startWorker();
  const mapped = await next.call<number>("attach", "llm", { socket });
  expect(await next.call("computeChecksum", mapped)).toBe(version.checksum);
});
