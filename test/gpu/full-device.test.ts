// A GPU without a byte left: the checksum's sums go to host memory, and are the same.
import { expect, test } from "vitest";
import { cudaFree, cudaMalloc, cudaMemcpy } from "../../dist/lib/cuda/index.js";
import { native } from "../../dist/lib/native.js";
import { describeOnGpu } from "../helpers/gpu.js";

/** All that the driver gives, in ever smaller pieces. */
async function takeAll(): Promise<bigint[]> {
  const taken: bigint[] = [];
  for (let bytes = 2 ** 40; bytes >= 1; bytes /= 2) {
    for (;;) {
      const pointer = await cudaMalloc(bytes).catch((error: { code: string }) => {
        expect(error.code).toBe("ERR_CUDA_IPC_OUT_OF_MEMORY");
      });
      if (pointer === undefined) break;
      taken.push(pointer);
    }
  }
  return taken;
}

describeOnGpu("a full GPU", () => {
  test("memory is checksummed all the same", async () => {
    const bytes = 64 << 20;
    const pointer = await cudaMalloc(bytes);
    await cudaMemcpy(pointer, Buffer.alloc(bytes, "a full GPU"));
    const checksum = await native.checksum(0, pointer, bytes);
    const taken = await takeAll();
    try {
      expect(await native.checksum(0, pointer, bytes)).toEqual(checksum);
    } finally {
      for (const other of [...taken, pointer]) await cudaFree(other);
    }
  });
});
