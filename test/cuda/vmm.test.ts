import { describe, expect, test } from "vitest";
import {
  builtinModule,
  cudaMemcpy,
  cudaMemGetInfo,
  cudaMemset,
  cudaPointerGetAttributes,
  Stream,
  VmmAllocation,
} from "../../dist/lib/cuda/index.js";
import { expectMemoryBack, expectMemoryUsed, freeMemory } from "../helpers/memory.js";

const MIB = 1 << 20;

async function read(pointer: bigint, bytes: number): Promise<Buffer> {
  const target = Buffer.alloc(bytes);
  await cudaMemcpy(target, pointer);
  return target;
}

test("memory, address and mapping come and go together", async () => {
  const before = await freeMemory();
  const vmm = await VmmAllocation.create(3 * MIB);
  expect(vmm.bytes).toBe(4 * MIB);
  expect(vmm.devicePointer).toBe(0n);
  const pointer = await vmm.map();
  expect(vmm.devicePointer).toBe(pointer);
  await cudaMemset(pointer, 7, vmm.bytes);
  expect(await read(pointer + BigInt(vmm.bytes - 2), 2)).toEqual(Buffer.from([7, 7]));
  expect(await cudaPointerGetAttributes(pointer + 5n)).toMatchObject({
    base: pointer,
    offset: 5,
    bytes: 4 * MIB,
  });
  await Promise.all([vmm.dispose(), vmm.dispose()]);
  expect(vmm.disposed).toBe(true);
  expect(vmm.devicePointer).toBe(0n);
  await expectMemoryBack(before);
  await expect(read(pointer, 1)).rejects.toMatchObject({ cudaName: "CUDA_ERROR_INVALID_VALUE" });
});

test("a descriptor alone keeps the memory, and another import sees the same bytes", async () => {
  const before = await freeMemory();
  const vmm = await VmmAllocation.create(2 * MIB);
  await cudaMemset(await vmm.map(), 9, vmm.bytes);
  const fd = vmm.export();
  await vmm.dispose();
  await expectMemoryUsed(before, 2 * MIB);
  {
    await using imported = await VmmAllocation.import(fd, 2 * MIB);
    fd.close();
    const again = imported.export();
    expect(await read(await imported.map("read"), 4)).toEqual(Buffer.from([9, 9, 9, 9]));
    again.close();
  }
  await expectMemoryBack(before);
});

describe("access", () => {
  // By copies: a kernel that writes there, and on a GPU a memset is one, would end the whole context.
  const write = (pointer: bigint) => cudaMemcpy(pointer, Buffer.from([1, 2, 3]));
  const refused = { cudaName: "CUDA_ERROR_INVALID_VALUE" };

  test("a read-only mapping refuses writes until it is made writable", async () => {
    await using vmm = await VmmAllocation.create(2 * MIB);
    const pointer = await vmm.map("read");
    await expect(write(pointer)).rejects.toMatchObject(refused);
    await read(pointer, 4);
    await vmm.setAccess("readwrite");
    await write(pointer);
    await vmm.setAccess("read");
    await expect(write(pointer)).rejects.toMatchObject(refused);
    expect(await read(pointer, 3)).toEqual(Buffer.from([1, 2, 3]));
  });

  test("two mappings of one memory have access of their own", async () => {
    await using writer = await VmmAllocation.create(2 * MIB);
    const fd = writer.export();
    await using reader = await VmmAllocation.import(fd, writer.bytes);
    fd.close();
    const to = await writer.map();
    const from = await reader.map("read");
    await write(to);
    expect(await read(from, 3)).toEqual(Buffer.from([1, 2, 3]));
    await expect(write(from)).rejects.toMatchObject(refused);
  });
});

describe("misuse", () => {
  test("it is mapped once, and its access set when it is mapped", async () => {
    await using vmm = await VmmAllocation.create(1);
    await expect(vmm.setAccess("read")).rejects.toMatchObject({ code: "ERR_CUDA_IPC_INVALID_STATE" });
    await vmm.map();
    await expect(vmm.map()).rejects.toMatchObject({ code: "ERR_CUDA_IPC_INVALID_STATE" });
  });

  test("once disposed it does nothing more", async () => {
    const vmm = await VmmAllocation.create(1);
    await vmm.dispose();
    await expect(vmm.map()).rejects.toMatchObject({ code: "ERR_CUDA_IPC_CLOSED" });
    expect(() => vmm.export()).toThrow(expect.objectContaining({ code: "ERR_CUDA_IPC_CLOSED" }));
  });

  test("a wrong size is refused when it is mapped, and leaves nothing", async () => {
    const before = await freeMemory();
    {
      await using vmm = await VmmAllocation.create(2 * MIB);
      const fd = vmm.export();
      await using imported = await VmmAllocation.import(fd, 4 * MIB);
      fd.close();
      await expect(imported.map()).rejects.toMatchObject({
        code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
        cudaName: "CUDA_ERROR_NOT_SUPPORTED",
      });
    }
    await expectMemoryBack(before);
  });

  test("more than there is", async () => {
    const { totalBytes } = await cudaMemGetInfo();
    await expect(VmmAllocation.create(2 * totalBytes)).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_OUT_OF_MEMORY",
    });
  });

  test("a disposal that waits for something else", async () => {
    await using vmm = await VmmAllocation.create(1);
    await expect(vmm.dispose({ after: {} as Stream })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
    });
    expect(vmm.disposed).toBe(false);
  });
});

test("disposal waits for the work that uses the memory", async () => {
  const module = await builtinModule();
  const fill = await module.function("cuda_ipc_fill_u32");
  await using stream = await Stream.create();
  for (const after of [undefined, stream]) {
    const vmm = await VmmAllocation.create(64 * MIB);
    const pointer = await vmm.map();
    for (let value = 0; value < 8; value++)
      fill.launch({
        grid: 32,
        block: 256,
        stream,
        args: [{ pointer }, { u64: BigInt(vmm.bytes / 4) }, { u32: value }],
      });
    await vmm.dispose({ after });
    expect(stream.query()).toBe(true);
  }
  await stream.synchronize();
});
