// CUDA IPC memory handles between real processes, and what CUDA refuses.
import { afterEach, describe, expect, test } from "vitest";
import {
  cudaFree,
  cudaIpcCloseMemHandle,
  cudaIpcGetMemHandle,
  cudaIpcOpenMemHandle,
  cudaMalloc,
  cudaMemcpy,
  cudaMemset,
  handleFromBase64,
  handleToBase64,
  openShared,
  type Shareable,
  shareable,
  VmmAllocation,
} from "../../dist/lib/cuda/index.js";
import { startChild } from "../helpers/child.js";
import { expectMemoryBack, freeMemory } from "../helpers/memory.js";

const MIB = 1 << 20;
const allocated: bigint[] = [];

async function malloc(bytes: number, value = 0): Promise<bigint> {
  const pointer = await cudaMalloc(bytes);
  allocated.push(pointer);
  await cudaMemset(pointer, value, bytes);
  return pointer;
}

afterEach(async () => {
  for (const pointer of allocated.splice(0)) await cudaFree(pointer);
});

async function read(pointer: bigint, bytes: number): Promise<Buffer> {
  const target = Buffer.alloc(bytes);
  await cudaMemcpy(target, pointer);
  return target;
}

test("a handle is 64 bytes, with base64 both ways", async () => {
  const handle = await cudaIpcGetMemHandle(await malloc(2 * MIB));
  expect(handle).toHaveLength(64);
  const text = handleToBase64(handle);
  expect(text).toHaveLength(88);
  expect(handleFromBase64(text).equals(handle)).toBe(true);
});

test("two processes see one memory, both ways", async () => {
  const child = startChild("raw.cjs");
  const theirs = await child.call<bigint>("malloc", 2 * MIB, 5);
  const mapped = await cudaIpcOpenMemHandle(await child.call<string>("export", theirs));
  expect((await read(mapped, 2 * MIB)).equals(Buffer.alloc(2 * MIB, 5))).toBe(true);
  await cudaMemset(mapped + 100n, 6, 50);
  expect(await child.call("read", theirs + 90n, 20)).toEqual(
    Buffer.concat([Buffer.alloc(10, 5), Buffer.alloc(10, 6)]),
  );
  await child.call("fill", theirs, 3, 9);
  expect(await read(mapped, 4)).toEqual(Buffer.from([9, 9, 9, 5]));
  await cudaIpcCloseMemHandle(mapped);
  await child.call("free", theirs);
});

test("opens of one handle are counted", async () => {
  const child = startChild("raw.cjs");
  const theirs = await child.call<bigint>("malloc", 2 * MIB, 3);
  const handle = await child.call<string>("export", theirs);
  const [first, second] = await Promise.all([cudaIpcOpenMemHandle(handle), cudaIpcOpenMemHandle(handle)]);
  expect(second).toBe(first);
  await cudaIpcCloseMemHandle(first);
  expect(await read(second, 1)).toEqual(Buffer.from([3]));
  await cudaIpcCloseMemHandle(second);
  await expect(cudaIpcCloseMemHandle(second)).rejects.toMatchObject({ code: "ERR_CUDA_IPC_INVALID_POINTER" });
  await expect(read(first, 1)).rejects.toMatchObject({ cudaName: "CUDA_ERROR_INVALID_VALUE" });
});

test("a pointer into the middle is shared by its offset", async () => {
  const child = startChild("raw.cjs");
  const base = await malloc(4 * MIB, 1);
  await cudaMemset(base + 1000n, 2, 24);
  const shared = await shareable(base + 1000n, { bytes: 24 });
  expect(shared).toMatchObject({ offset: 1000, bytes: 24 });
  expect(await child.call("readShared", shared)).toEqual(Buffer.alloc(24, 2));
  const text = { ...shared, handle: handleToBase64(shared.handle), offset: 999, bytes: 2 };
  expect(await child.call("readShared", text)).toEqual(Buffer.from([1, 2]));
  expect(await shareable(base + 1000n)).toMatchObject({ bytes: 4 * MIB - 1000 });
});

test("small allocations, which CUDA packs into one block, are told apart", async () => {
  const child = startChild("raw.cjs");
  const theirs = [11, 12, 13].map((value) => child.call<bigint>("malloc", 1024, value));
  for (const [index, pointer] of (await Promise.all(theirs)).entries()) {
    await using memory = await openShared(await child.call<Shareable>("shareable", pointer + 8n, 16));
    expect(await read(memory.devicePointer, 16)).toEqual(Buffer.alloc(16, 11 + index));
  }
});

test("an opened part must lie within the allocation, on a device that is visible", async () => {
  const child = startChild("raw.cjs");
  const theirs = await child.call<bigint>("malloc", 2 * MIB);
  const shared = await child.call<Shareable>("shareable", theirs);
  const before = await freeMemory();
  await expect(openShared({ ...shared, offset: 1 })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
  });
  await expect(openShared({ ...shared, deviceUuid: "GPU-none" })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_INVALID_DEVICE",
  });
  await expect(openShared(shared, { signal: AbortSignal.abort("no") })).rejects.toBe("no");
  await expectMemoryBack(before);
  const memory = await openShared(shared);
  await memory.dispose();
  await memory.dispose();
  expect(memory.disposed).toBe(true);
  expect(() => memory.devicePointer).toThrow(expect.objectContaining({ code: "ERR_CUDA_IPC_CLOSED" }));
});

describe("misuse", () => {
  test("a pointer into the middle has no handle", async () => {
    const pointer = await malloc(2 * MIB);
    await expect(cudaIpcGetMemHandle(pointer + 256n)).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_INTERIOR_POINTER",
      details: { offset: 256, bytes: 2 * MIB },
      message: expect.stringContaining("shareable()"),
    });
  });

  test("a handle is not opened by its own exporter", async () => {
    const handle = await cudaIpcGetMemHandle(await malloc(2 * MIB));
    await expect(cudaIpcOpenMemHandle(handle)).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_SAME_PROCESS",
      cudaName: "CUDA_ERROR_INVALID_CONTEXT",
    });
  });

  test("memory of another kind cannot be exported", async () => {
    await using vmm = await VmmAllocation.create(2 * MIB);
    await expect(cudaIpcGetMemHandle(await vmm.map())).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_NOT_EXPORTABLE",
    });
  });

  test("a pointer to nothing cannot be exported", async () => {
    await expect(cudaIpcGetMemHandle(0x1000n)).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_INVALID_POINTER",
    });
    await expect(shareable(0x1000n)).rejects.toMatchObject({ code: "ERR_CUDA_IPC_NOT_EXPORTABLE" });
  });

  test("what was never opened cannot be closed", async () => {
    const pointer = await malloc(2 * MIB);
    await expect(cudaIpcCloseMemHandle(pointer)).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_INVALID_POINTER",
    });
  });

  test("opened memory cannot be freed", async () => {
    const child = startChild("raw.cjs");
    const theirs = await child.call<bigint>("malloc", 2 * MIB);
    const mapped = await cudaIpcOpenMemHandle(await child.call<string>("export", theirs));
    await expect(cudaFree(mapped)).rejects.toMatchObject({ cudaName: "CUDA_ERROR_INVALID_VALUE" });
    await cudaIpcCloseMemHandle(mapped);
  });
});

test("after the exporter's SIGKILL nobody opens its handle, and what is open stays whole", async () => {
  const before = await freeMemory();
  const child = startChild("raw.cjs");
  const theirs = await child.call<bigint>("malloc", 2 * MIB, 8);
  const handle = await child.call<string>("export", theirs);
  const other = await child.call<string>("export", await child.call<bigint>("malloc", 2 * MIB));
  const mapped = await cudaIpcOpenMemHandle(handle);
  child.kill("SIGKILL");
  await child.exited;
  await expect(cudaIpcOpenMemHandle(other)).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_STALE_HANDLE",
    message: expect.stringContaining("cuIpcOpenMemHandle"),
  });
  expect((await read(mapped, 2 * MIB)).equals(Buffer.alloc(2 * MIB, 8))).toBe(true);
  await cudaIpcCloseMemHandle(mapped);
  await expectMemoryBack(before);
});

test("an importer's SIGKILL frees nothing of the exporter's, and leaks nothing", async () => {
  const pointer = await malloc(2 * MIB, 4);
  const handle = handleToBase64(await cudaIpcGetMemHandle(pointer));
  const before = await freeMemory();
  const child = startChild("raw.cjs");
  const mapped = await child.call<bigint>("open", handle);
  expect(await child.call("read", mapped, 2)).toEqual(Buffer.from([4, 4]));
  child.kill("SIGKILL");
  await child.exited;
  expect(await read(pointer, 2)).toEqual(Buffer.from([4, 4]));
  await expectMemoryBack(before);
});
