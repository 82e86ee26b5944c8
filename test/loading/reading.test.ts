// How bytes come from files, and that what came is what the files hold.
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { type NativeCancel, native } from "../../dist/lib/native.js";
import { hostMachine, startHostOwner } from "../helpers/host.js";
import { fixtures, folder, MIB, modelFile, sharings, startOwner } from "../helpers/sharing.js";

const accesses = ["auto", "buffered", "direct"] as const;
const loadings = ["process", "inline"] as const;
const sharded = path.join(fixtures, "llama-sharded/model.safetensors.index.json");

describe.each(loadings)("loads, %s", (loading) => {
  test.each(sharings)("of %s memory have the same content however files are read", async (sharing) => {
    const owner = await startOwner({ loading });
    const checksums = new Set<string>();
    for (const io of accesses) {
      checksums.add((await owner.load("set", sharded, { sharing, io })).checksum);
      checksums.add((await owner.load("set", sharded, { sharing, io, verify: true })).checksum);
    }
    expect(checksums.size).toBe(1);
  });

  test("are compared with tensors from memory, too", async () => {
    const owner = await startOwner({ loading });
    const tensors = { odd: Buffer.from([1, 2, 3]), floats: new Float32Array(70_000).fill(2) };
    const { checksum } = await owner.load("set", tensors, { verify: true });
    expect((await owner.load("set", tensors)).checksum).toBe(checksum);
  });

  test.each([
    [{ io: "cached" }, '"auto", "buffered" or "direct" for io'],
    [{ verify: 1 }, "true or false for verify"],
    [{ threads: 0 }, "an integer from 1 to 256 for threads"],
    [{ threads: 257 }, "an integer from 1 to 256 for threads"],
  ])("refuse %o", async (options, sentence) => {
    const owner = await startOwner({ loading });
    const file = await modelFile(MIB);
    await expect(owner.load("set", file, options as object)).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
      message: expect.stringContaining(sentence),
    });
  });
});

/** Changes one byte of a file when all of it has arrived on the device, and before it is read again. */
function damageWhenLoaded(file: string) {
  let damaged = false;
  return {
    onProgress: ({ bytes, totalBytes }: { bytes: number; totalBytes: number }) => {
      if (bytes < totalBytes || damaged) return;
      damaged = true;
      const fd = openSync(file, "r+");
      writeSync(fd, Buffer.of(readFileSync(file).at(-1)! ^ 1), 0, 1, readFileSync(file).length - 1);
      closeSync(fd);
    },
    damaged: () => damaged,
  };
}

test("what is not on the device as the file has it is not published", async () => {
  const owner = await startOwner({ loading: "inline" });
  const file = await modelFile(3 * MIB + 5);
  const before = await owner.load("set", file, { verify: true });
  const { onProgress, damaged } = damageWhenLoaded(file);
  await expect(owner.load("set", file, { verify: true, onProgress })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_CHECKSUM_MISMATCH",
    details: {
      expected: expect.stringMatching(/^[0-9a-f]{32}$/),
      actual: expect.stringMatching(/^[0-9a-f]{32}$/),
    },
  });
  expect(damaged()).toBe(true);
  expect(owner.current("set")).toBe(before);
  const changed = await owner.load("set", file, { verify: true });
  expect(changed.checksum).not.toBe(before.checksum);
});

test("the process that loads is told to compare", async () => {
  // The device is asked about the memory once for each time that its checksum is computed.
  const { owner } = await startHostOwner(hostMachine(), folder, { faults: "cuMemGetAddressRange:2=999" });
  const file = await modelFile(MIB);
  await owner.call("load", "set", file);
  await expect(owner.call("load", "set", file, { verify: true })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_CUDA",
  });
});

describe("checksumSources", () => {
  const sources = [Buffer.alloc(64 * MIB, 7)];
  const options = { sources, runs: [{ source: 0, offset: 0, bytes: 64 * MIB, target: 0 }], bytes: 64 * MIB };

  test("gives what the device finds", async () => {
    const base = await native.memAlloc(0, 64 * MIB);
    const { checksum } = await native.load({ device: 0, base, checksumBytes: 64 * MIB, ...options });
    const onDevice = await native.checksum(0, base, 64 * MIB);
    expect(checksum).toEqual(onDevice);
    expect(await native.checksumSources(options)).toEqual(onDevice);
    await native.memFree(0, base);
  });

  test("reports how far it is, and can be cancelled", async () => {
    const cancel: NativeCancel = native.createCancel();
    const reports: number[] = [];
    await native.checksumSources({ ...options, onProgress: (bytes) => reports.push(bytes) });
    expect(reports.at(-1)).toBe(64 * MIB);
    cancel.cancel();
    await expect(native.checksumSources({ ...options, cancel })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_ABORTED",
    });
  });

  test("refuses what it cannot sum", () => {
    expect(() => native.checksumSources({ ...options, bytes: 0 })).toThrow("for bytes");
    expect(() => native.checksumSources({ ...options, io: "fast" as "auto" })).toThrow("for io");
  });
});
