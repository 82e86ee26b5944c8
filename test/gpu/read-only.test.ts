// Read-only mappings on a GPU: enforced by the hardware, in the process that breaks the rule alone.
import { expect, test } from "vitest";
import { describeOnGpu } from "../helpers/gpu.js";
import { someTensors, startOwner, startWorker } from "../helpers/sharing.js";

describeOnGpu("read-only mappings on a GPU", () => {
  test("a writing kernel in one worker while another one's kernels read", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing: "vmm" });
    const { socket } = owner;
    const [reader, writer] = [await startWorker(), await startWorker()];
    const key = await reader.call<number>("attach", "llm", { socket });
    const own = await writer.call<number>("attach", "llm", { socket });
    const writing = expect(writer.call("fillByPointer", own, "bytes")).rejects.toMatchObject({
      cudaName: "CUDA_ERROR_ILLEGAL_ADDRESS",
    });
    for (let i = 0; i < 20; i++) expect(await reader.call("computeChecksum", key)).toBe(version.checksum);
    await writing;
    // The process is of no use any more: it ends, and its lease with it.
    writer.kill("SIGKILL");
    await version.waitForRefCount((count) => count === 1);
    expect(await reader.call("computeChecksum", key)).toBe(version.checksum);
  });

  test("a mapping that may be written beside one that may not", async () => {
    const owner = await startOwner();
    await owner.load("llm", someTensors(), { sharing: "vmm", writable: true });
    const { socket } = owner;
    const worker = await startWorker();
    await worker.call("attach", "llm", { socket });
    const writer = await worker.call<number>("attach", "llm", { socket, access: "readwrite" });
    await worker.call("fillByPointer", writer, "bytes");
    expect(await worker.call("read", writer, "bytes")).toEqual(Buffer.alloc(300, 0xee));
  });

  test("a read-only mapping refuses copies without any harm", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing: "vmm" });
    const worker = await startWorker();
    const key = await worker.call<number>("attach", "llm", { socket: owner.socket });
    await expect(worker.call("writeByPointer", key, "bytes")).rejects.toMatchObject({
      cudaName: "CUDA_ERROR_INVALID_VALUE",
    });
    expect(await worker.call("computeChecksum", key)).toBe(version.checksum);
  });
});
