// Each kernel gives on a GPU, bit for bit, what its host implementation gives.
import { expect, test } from "vitest";
import { type Child, startChild } from "../helpers/child.js";
import { describeOnGpu } from "../helpers/gpu.js";

type Argument = { at: number } | Record<string, number | bigint>;

// The same bytes in every run: a failure can be looked at.
function noise(bytes: number, seed = 1): Buffer {
  let state = BigInt(seed);
  return Buffer.from(
    Uint8Array.from({ length: bytes }, () => {
      state = (state * 6364136223846793005n + 1442695040888963407n) & (2n ** 64n - 1n);
      return Number(state >> 56n);
    }),
  );
}

describeOnGpu("kernels on a GPU and on the host", () => {
  async function onBoth<T>(run: (child: Child) => Promise<T>): Promise<void> {
    const children = ["libcuda", "host"].map((driver) =>
      startChild("kernels.cjs", { CUDA_IPC_DRIVER: driver }),
    );
    const [device, host] = await Promise.all(children.map(run));
    expect(device).toEqual(host);
  }

  test.each([
    [0, 1],
    [0, 16],
    [3, 1021],
    [0, 1 << 20],
    [5, (1 << 20) + 11],
  ])("checksum of memory from %i, %i bytes", async (offset, bytes) => {
    const content = noise(offset + bytes + 8);
    await onBoth((child) => child.call("checksum", content, offset, bytes));
  });

  test.each([
    ["u8", { u8: 0xa5 }, 1],
    ["u16", { u16: 0xbeef }, 2],
    ["u32", { u32: 0xdeadbeef }, 4],
    ["u64", { u64: 0x0123456789abcdefn }, 8],
  ] as const)("fill_%s", async (type, value, width) => {
    for (const [offset, count] of [
      [0, 1000],
      [1, 333],
      [7, 1],
      [16, 0],
    ] as const) {
      const content = noise(offset + width * count + 32);
      const args: Argument[] = [{ at: offset }, { u64: BigInt(count) }, value];
      await onBoth((child) => child.call("launch", `cuda_ipc_fill_${type}`, 3, 96, content, args));
    }
  });

  test.each([
    ["u32", { u32: 0xffffffff }],
    ["u64", { u64: 2n ** 64n - 5n }],
    ["f32", { f32: 0.1 }],
  ] as const)("atomic_add_%s", async (type, value) => {
    const content = Buffer.alloc(64);
    content.writeFloatLE(1.7, 0);
    const args: Argument[] = [{ at: 0 }, value, { at: 32 }];
    await onBoth((child) => child.call("launch", `cuda_ipc_atomic_add_${type}`, 4, 64, content, args));
  });

  // Small integers, whose sums are exact in whatever order they are added up.
  const small = (n: number) => (n * 7) % 5;
  const writers = {
    f32: { width: 4, write: (buffer: Buffer, n: number, at: number) => buffer.writeFloatLE(small(n), at) },
    f16: {
      width: 2,
      write: (buffer: Buffer, n: number, at: number) =>
        buffer.writeUInt16LE([0, 0x3c00, 0x4000, 0x4200, 0x4400][small(n)]!, at),
    },
    bf16: {
      width: 2,
      write: (buffer: Buffer, n: number, at: number) =>
        buffer.writeUInt16LE([0, 0x3f80, 0x4000, 0x4040, 0x4080][small(n)]!, at),
    },
  };

  test.each(Object.keys(writers) as (keyof typeof writers)[])("linear_%s", async (type) => {
    const [inputs, outputs] = [1031, 67];
    const { width, write } = writers[type];
    const x = Math.ceil((width * inputs * outputs) / 256) * 256;
    const y = x + Math.ceil((4 * inputs) / 256) * 256;
    const content = Buffer.alloc(y + 4 * outputs);
    for (let i = 0; i < inputs * outputs; i++) write(content, i, width * i);
    for (let i = 0; i < inputs; i++) content.writeFloatLE((i % 9) - 4, x + 4 * i);
    const args: Argument[] = [
      { at: 0 },
      { at: x },
      { at: y },
      { u64: BigInt(inputs) },
      { u64: BigInt(outputs) },
    ];
    await onBoth((child) => child.call("launch", `cuda_ipc_linear_${type}`, 16, 128, content, args));
  });
});
