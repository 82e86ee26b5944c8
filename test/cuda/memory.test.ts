import { afterEach, describe, expect, test } from "vitest";
import {
  cudaDriverGetVersion,
  cudaFree,
  cudaGetDeviceCount,
  cudaGetDeviceProperties,
  cudaMalloc,
  cudaMemcpy,
  cudaMemcpyAsync,
  cudaMemGetInfo,
  cudaMemset,
  cudaMemsetAsync,
  cudaPointerGetAttributes,
  cuMemsetD16,
  cuMemsetD32,
  Stream,
} from "../../dist/lib/cuda/index.js";
import { expectMemoryBack, expectMemoryUsed, freeMemory } from "../helpers/memory.js";

const MIB = 1 << 20;
const allocated: bigint[] = [];

async function malloc(bytes: number): Promise<bigint> {
  const pointer = await cudaMalloc(bytes);
  allocated.push(pointer);
  return pointer;
}

afterEach(async () => {
  for (const pointer of allocated.splice(0)) await cudaFree(pointer);
});

const pattern = (bytes: number) =>
  Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + 7) & 255));

test("devices have facts, and a UUID that names them", async () => {
  expect(await cudaDriverGetVersion()).toBeGreaterThanOrEqual(12000);
  const count = await cudaGetDeviceCount();
  expect(count).toBeGreaterThanOrEqual(1);
  const uuids = new Set<string>();
  for (let device = 0; device < count; device++) {
    const facts = await cudaGetDeviceProperties({ device });
    expect(facts.ordinal).toBe(device);
    expect(facts.uuid).toMatch(/^(GPU|MIG)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(facts.totalBytes).toBeGreaterThan(0);
    uuids.add(facts.uuid);
  }
  expect(uuids.size).toBe(count);
  await expect(cudaGetDeviceProperties({ device: count })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_INVALID_DEVICE",
  });
});

test("memory is counted, and given back", async () => {
  const before = await freeMemory();
  const pointer = await cudaMalloc(8 * MIB);
  await expectMemoryUsed(before, 8 * MIB);
  await cudaFree(pointer);
  await expectMemoryBack(before);
  await cudaFree(0n);
});

test("copies go by the kinds of their ends, from the middle of an allocation too", async () => {
  const data = pattern(3 * MIB);
  const first = await malloc(4 * MIB);
  const second = await malloc(4 * MIB);
  await cudaMemcpy(first + 12345n, data);
  await cudaMemcpy(second, first + 12345n, data.length);
  const back = Buffer.alloc(data.length);
  await cudaMemcpy(back, second);
  expect(back.equals(data)).toBe(true);

  const words = new Uint32Array(4);
  await cudaMemcpy(words.subarray(1, 3), second);
  expect(Buffer.from(words.buffer, 4, 8).equals(data.subarray(0, 8))).toBe(true);
  expect([words[0], words[3]]).toEqual([0, 0]);

  await cudaMemcpy(new DataView(words.buffer), second, 3);
  await cudaMemcpy(second, new Uint8Array(0));
});

test("a copy may go into shared memory", async () => {
  const pointer = await malloc(1024);
  await cudaMemset(pointer, 9, 1024);
  const shared = new Uint8Array(new SharedArrayBuffer(1024));
  await cudaMemcpy(shared, pointer);
  expect(shared.every((byte) => byte === 9)).toBe(true);
});

test("sets elements of 8, 16 and 32 bits", async () => {
  const pointer = await malloc(64);
  const bytes = Buffer.alloc(64);
  await cudaMemset(pointer, 0xab, 64);
  await cuMemsetD16(pointer + 16n, 0x1234, 8);
  await cuMemsetD32(pointer + 32n, 0xdeadbeef, 4n);
  await cudaMemcpy(bytes, pointer);
  const expected = Buffer.alloc(64, 0xab);
  for (let i = 16; i < 32; i += 2) expected.writeUInt16LE(0x1234, i);
  for (let i = 32; i < 48; i += 4) expected.writeUInt32LE(0xdeadbeef, i);
  expect(bytes.equals(expected)).toBe(true);
});

test("work in a stream is done in order when its promise resolves", async () => {
  await using stream = await Stream.create();
  const pointer = await malloc(MIB);
  const other = await malloc(MIB);
  const steps = [
    cudaMemsetAsync(pointer, 1, MIB, { stream }),
    cudaMemsetAsync(pointer, 2, MIB / 2, { stream }),
    cudaMemcpyAsync(other, pointer, MIB, { stream }),
  ];
  await Promise.all(steps);
  const back = Buffer.alloc(MIB);
  await cudaMemcpyAsync(back, other, undefined, { stream });
  expect(back.equals(Buffer.concat([Buffer.alloc(MIB / 2, 2), Buffer.alloc(MIB / 2, 1)]))).toBe(true);
  await cudaMemcpyAsync(other, Buffer.alloc(MIB, 5), undefined, { stream });
  await cudaMemcpy(back, other);
  expect(back.equals(Buffer.alloc(MIB, 5))).toBe(true);
});

test("a pointer tells its allocation, wherever it points in it", async () => {
  const pointer = await malloc(3 * MIB);
  const { uuid } = await cudaGetDeviceProperties();
  const facts = { type: "device", device: 0, deviceUuid: uuid, base: pointer, bytes: 3 * MIB };
  expect(await cudaPointerGetAttributes(pointer)).toEqual({ ...facts, offset: 0 });
  expect(await cudaPointerGetAttributes(pointer + 777n)).toEqual({ ...facts, offset: 777 });
  expect((await cudaPointerGetAttributes(8n)).type).toBe("unregistered");
});

describe("misuse", () => {
  test("a pointer is freed once", async () => {
    const pointer = await cudaMalloc(4096);
    await cudaFree(pointer);
    await expect(cudaFree(pointer)).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_INVALID_POINTER",
      cudaName: "CUDA_ERROR_INVALID_VALUE",
    });
  });

  test("only the pointer that cudaMalloc gave is freed", async () => {
    const pointer = await malloc(4096);
    await expect(cudaFree(pointer + 8n)).rejects.toMatchObject({ code: "ERR_CUDA_IPC_INVALID_POINTER" });
  });

  test("running out of memory says what was needed", async () => {
    const { totalBytes } = await cudaMemGetInfo();
    await expect(cudaMalloc(2 * totalBytes)).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_OUT_OF_MEMORY",
      details: { neededBytes: 2 * totalBytes },
    });
  });

  test("a copy past the end is refused", async () => {
    const pointer = await malloc(2 * MIB);
    await expect(cudaMemcpy(Buffer.allocUnsafe(256 * MIB), pointer)).rejects.toMatchObject({
      cudaName: "CUDA_ERROR_INVALID_VALUE",
    });
  });

  test("a device that is not there is named", async () => {
    await expect(cudaMalloc(1, { device: 99 })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_INVALID_DEVICE",
    });
  });
});

test("an aborted allocation is not made, or is freed", async () => {
  const before = await freeMemory();
  await expect(cudaMalloc(MIB, { signal: AbortSignal.abort("early") })).rejects.toBe("early");
  const controller = new AbortController();
  const pending = cudaMalloc(4 * MIB, { signal: controller.signal });
  controller.abort("late");
  await expect(pending).rejects.toBe("late");
  await expectMemoryBack(before);
});
