// The owner of ipc memory dies on a GPU, and somebody else writes over every byte that is free: what is mapped stays whole.
import { expect, test } from "vitest";
import { startChild } from "../helpers/child.js";
import { describeOnGpu } from "../helpers/gpu.js";
import { inspect } from "../helpers/inspect.js";
import { freeMemory } from "../helpers/memory.js";
import { block, MIB, startWorker } from "../helpers/sharing.js";
import { kill, startHolder, startMortal, startSuccessor } from "../helpers/survival.js";

const size = 256 * MIB;
const sharing = "ipc";
// What nobody can have: less than the smallest piece that is asked for, and what the driver keeps for itself.
const crumbs = 64 * MIB;

describeOnGpu("the death of an owner of ipc memory on a GPU", () => {
  test("mappings outlive everything that fills the device, and a new load waits for room", async () => {
    const mortal = await startMortal();
    const { socket } = mortal;
    const { checksum } = await mortal.child.call<{ checksum: string }>("loadBlock", "set", size, { sharing });
    // Everybody has a context, and all kernels that are to run, before the device is full.
    const { worker, key } = await startHolder("set", { socket });
    expect(await worker.call("computeChecksum", key)).toBe(checksum);
    const late = await startWorker();
    await freeMemory();
    const filler = startChild("raw.cjs");
    try {
      await filler.call("free", await filler.call("malloc", 2 * MIB, 1));
      await kill(mortal.child);
      for (const pattern of [0x5a, 0xa5]) {
        await filler.call("freeAll");
        // What the dead owner's context took may come back while it takes.
        const fill = async () => {
          const taken = await filler.call<number>("takeAll", pattern);
          return { taken, free: (await freeMemory())[0]! };
        };
        const { taken, free } = await inspect.watchFor(fill, (now) => now.free < crumbs);
        expect(free).toBeLessThan(crumbs);
        expect(taken).toBeGreaterThan(size);
        expect(await worker.call("computeChecksum", key)).toBe(checksum);
      }

      const { owner, lost } = await startSuccessor(socket);
      expect(await worker.event("ownerfound")).toMatchObject({ detail: { kept: true } });
      await owner.whenRecovered();
      expect(lost).toEqual(["set 1"]);
      await expect(late.call("attach", "set", { socket })).rejects.toMatchObject({
        code: "ERR_CUDA_IPC_OWNER_DIED",
        message: expect.stringContaining("its owner has died: whoever has the memory mapped keeps it"),
      });

      const noRoom = await owner.load("set", block(size, 7), { sharing }).catch((error: unknown) => error);
      expect(noRoom).toMatchObject({ code: "ERR_CUDA_IPC_OUT_OF_MEMORY" });
      const { neededBytes, freeBytes } = (noRoom as { details: Record<string, number> }).details;
      expect(Number(neededBytes)).toBeGreaterThanOrEqual(size);
      expect(Number(freeBytes)).toBeLessThan(crumbs);
      expect(await worker.call("computeChecksum", key)).toBe(checksum);

      await kill(filler);
      const room = await inspect.watchFor(freeMemory, ([free]) => free! > 2 * size);
      expect(room[0]).toBeGreaterThan(2 * size);
      const next = await owner.load("set", block(size, 7), { sharing });
      expect(next).toMatchObject({ number: 2, sharing });
      const newest = await late.call<number>("attach", "set", { socket });
      expect(await late.call("computeChecksum", newest)).toBe(next.checksum);
      // Two copies: the old one is whole until its last holder lets go.
      expect(await worker.call("computeChecksum", key)).toBe(checksum);
      const [old] = owner.versions();
      const freed = old!.whenFreed();
      await worker.call("release", key);
      await freed;
      await late.call("release", newest);
    } finally {
      await kill(filler);
    }
  });
});
