import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  builtinModule,
  cudaDeviceSynchronize,
  cudaFree,
  cudaMalloc,
  cudaMemcpy,
  cudaMemset,
  cuLaunchKernel,
  Event,
  type KernelArgument,
  Module,
  Stream,
} from "../../dist/lib/cuda/index.js";

let module: Module;
let memory: bigint;

beforeAll(async () => {
  module = await builtinModule(0);
  memory = await cudaMalloc(1 << 20);
});
afterAll(() => cudaFree(memory));

async function read(bytes: number, offset = 0n): Promise<Buffer> {
  const target = Buffer.alloc(bytes);
  await cudaMemcpy(target, memory + offset);
  return target;
}

test.each([
  ["cuda_ipc_fill_u8", { u8: 0xa5 }, Buffer.from([0xa5])],
  ["cuda_ipc_fill_u16", { u16: 0xbeef }, Buffer.from([0xef, 0xbe])],
  ["cuda_ipc_fill_u32", { u32: 0xdeadbeef }, Buffer.from([0xef, 0xbe, 0xad, 0xde])],
  ["cuda_ipc_fill_u64", { u64: 0x0123456789abcdefn }, Buffer.from("efcdab8967452301", "hex")],
] as [string, KernelArgument, Buffer][])("%s fills its range and no more", async (name, value, pattern) => {
  await using stream = await Stream.create();
  const fill = await module.function(name);
  await cudaMemset(memory, 0, 4096);
  const count = 300;
  fill.launch({
    grid: [4, 1],
    block: 64,
    stream,
    args: [{ pointer: memory + 3n }, { u64: BigInt(count) }, value],
  });
  await stream.synchronize();
  const expected = Buffer.alloc(4096);
  expected.fill(pattern, 3, 3 + count * pattern.length);
  expect((await read(4096)).equals(expected)).toBe(true);
});

test("launches of one stream add up, in order", async () => {
  const add = await module.function("cuda_ipc_atomic_add_u32");
  await cudaMemset(memory, 0, 16);
  for (let i = 1; i <= 100; i++)
    cuLaunchKernel(add, {
      grid: 1,
      block: 32,
      args: [{ pointer: memory }, { u32: i }, { pointer: memory + 8n }],
    });
  await cudaDeviceSynchronize();
  const bytes = await read(16);
  expect([bytes.readUInt32LE(0), bytes.readUInt32LE(8)]).toEqual([5050, 4950]);
});

test("the linear layer is computed", async () => {
  const linear = await module.function("cuda_ipc_linear_f32");
  const [inputs, outputs] = [5, 3];
  const weights = Float32Array.from({ length: inputs * outputs }, (_, i) => i - 7);
  const x = Float32Array.from({ length: inputs }, (_, i) => i + 1);
  await cudaMemcpy(memory, weights);
  await cudaMemcpy(memory + 1024n, x);
  linear.launch({
    grid: 2,
    block: 64,
    args: [
      { pointer: memory },
      { pointer: memory + 1024n },
      { pointer: memory + 2048n },
      { u64: BigInt(inputs) },
      { u64: BigInt(outputs) },
    ],
  });
  const y = new Float32Array(outputs);
  await cudaMemcpy(y, memory + 2048n);
  const expected = Array.from({ length: outputs }, (_, row) =>
    x.reduce((sum, value, column) => sum + value * weights[row * inputs + column]!, 0),
  );
  expect([...y]).toEqual(expected);
});

describe("misuse", () => {
  const refused = (call: () => void, message: RegExp) =>
    expect(call).toThrow(
      expect.objectContaining({
        code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
        message: expect.stringMatching(message),
      }),
    );

  test("arguments that are not what they say", async () => {
    const fill = await module.function("cuda_ipc_fill_u8");
    const launch = (...args: unknown[]) => fill.launch({ grid: 1, block: 1, args: args as KernelArgument[] });
    refused(() => launch({ u32: -1 }), /from 0 to 4294967295 for args\[0\]\.u32, but received -1/);
    refused(() => launch({ i8: 128 }), /from -128 to 127 for args\[0\]\.i8/);
    refused(
      () => launch({ u32: 1 }, { u64: 1 }),
      /a bigint from 0 to 2\^64 - 1 for args\[1\]\.u64, but received 1/,
    );
    refused(() => launch({ i64: 2n ** 63n }), /for args\[0\]\.i64/);
    refused(() => launch({ f32: "1" }), /a number for args\[0\]\.f32/);
    refused(() => launch({ pointer: 1 }), /device pointer .* for args\[0\]\.pointer/);
    refused(() => launch({ u128: 1n }), /one of pointer, u8/);
    refused(() => launch({ u8: 1, i8: 1 }), /one of pointer, u8/);
    refused(() => launch({}), /one of pointer, u8/);
    refused(() => launch(7), /an object for args\[0\], but received 7/);
    refused(() => launch({ bytes: new Uint8Array(5000) }), /at most 4096 bytes|together at most 4096/);
    refused(() => launch(...Array(300).fill({ u8: 1 })), /at most 256 arguments/);
  });

  test("extents that are none", async () => {
    const fill = await module.function("cuda_ipc_fill_u8");
    refused(() => fill.launch({ grid: 0, block: 1 }), /for grid\.x, but received 0/);
    refused(() => fill.launch({ grid: 1, block: [1, 1.5] }), /for block\.y, but received 1\.5/);
    refused(() => fill.launch({ grid: "1" as unknown as number, block: 1 }), /for grid\.x/);
  });

  test("a stream that is gone", async () => {
    const fill = await module.function("cuda_ipc_fill_u8");
    const stream = await Stream.create();
    await stream.dispose();
    expect(() => fill.launch({ grid: 1, block: 1, stream })).toThrow(
      expect.objectContaining({ code: "ERR_CUDA_IPC_CLOSED" }),
    );
  });

  test("a kernel that is not there", async () => {
    await expect(module.function("nothing")).rejects.toMatchObject({ code: "ERR_CUDA_IPC_NO_FUNCTION" });
  });

  test("an image that is none", async () => {
    await expect(Module.load(0, "this is not PTX")).rejects.toMatchObject({ code: "ERR_CUDA_IPC_MODULE" });
  });
});

test("a kernel goes with its module; the built-in one stays for everybody else", async () => {
  const mine = await builtinModule();
  const fill = await mine.function("cuda_ipc_fill_u8");
  await mine.dispose();
  await mine.dispose();
  expect(() => fill.launch({ grid: 1, block: 1 })).toThrow(
    expect.objectContaining({ code: "ERR_CUDA_IPC_CLOSED" }),
  );
  const other = await module.function("cuda_ipc_fill_u8");
  other.launch({ grid: 1, block: 1, args: [{ pointer: memory }, { u64: 1n }, { u8: 77 }] });
  await using event = await Event.create();
  event.record();
  await event.synchronize();
  expect((await read(1))[0]).toBe(77);
});
