// What is published from memory, how it is laid out, and the identity of its content.
import { describe, expect, test } from "vitest";
import { hostMachine, startHostOwner, startHostWorker } from "../helpers/host.js";
import { folder, someTensors, startOwner, startWorker } from "../helpers/sharing.js";

interface TensorFacts {
  name: string;
  dtype: string;
  shape: number[];
  bytes: number;
  device: number;
  devicePointer: bigint;
}

const typedArrays = {
  F64: Float64Array.of(Math.PI, -0, Number.NaN),
  F32: Float32Array.of(1.5, Number.POSITIVE_INFINITY),
  I64: BigInt64Array.of(-(2n ** 63n), 7n),
  U64: BigUint64Array.of(2n ** 64n - 1n),
  I32: Int32Array.of(-1, 2),
  U32: Uint32Array.of(2 ** 32 - 1),
  I16: Int16Array.of(-32768),
  U16: Uint16Array.of(65535, 1, 2),
  I8: Int8Array.of(-128, 127),
  U8: Uint8Array.of(1, 2, 3),
};

test("typed arrays arrive as typed arrays of the same kind", async () => {
  const owner = await startOwner();
  await owner.load("arrays", typedArrays);
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "arrays", { socket: owner.socket });
  for (const [dtype, array] of Object.entries(typedArrays)) {
    expect(await worker.call("toHost", key, dtype)).toEqual(array);
  }
});

test("a part of a larger buffer, a shape and a dtype are taken as they are given", async () => {
  const owner = await startOwner();
  const data = Buffer.from([9, 9, 1, 2, 3, 4, 9]).subarray(2, 6);
  await owner.load("shaped", new Map([["bf16 matrix", { dtype: "BF16", shape: [2, 1], data }]]));
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "shaped", { socket: owner.socket });
  expect(await worker.call("tensorFacts", key)).toMatchObject([
    { name: "bf16 matrix", dtype: "BF16", shape: [2, 1], bytes: 4 },
  ]);
  expect(await worker.call("read", key, "bf16 matrix")).toEqual(data);
});

test("tensors without elements are tensors, alone and among others", async () => {
  const owner = await startOwner();
  const none = { dtype: "F32", shape: [0, 4], data: new Uint8Array(0) } as const;
  await owner.load("empty", { none });
  await owner.load("some empty", { first: none, ...someTensors(), last: none });
  const worker = await startWorker();
  for (const [set, name] of [
    ["empty", "none"],
    ["some empty", "last"],
  ]) {
    const key = await worker.call<number>("attach", set, { socket: owner.socket });
    expect(await worker.call("read", key, name)).toHaveLength(0);
    expect(await worker.call("toHost", key, name)).toEqual(new Float32Array(0));
  }
});

test("every tensor begins at a multiple of 256", async () => {
  const owner = await startOwner();
  const odd = Object.fromEntries([1, 255, 256, 257, 3].map((n) => [`${n} bytes`, new Uint8Array(n).fill(n)]));
  await owner.load("odd", odd);
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "odd", { socket: owner.socket });
  const facts = await worker.call<TensorFacts[]>("tensorFacts", key);
  expect(facts.map(({ devicePointer }) => devicePointer % 256n)).toEqual(facts.map(() => 0n));
  for (const [name, data] of Object.entries(odd)) {
    expect(await worker.call("read", key, name)).toEqual(Buffer.from(data));
  }
});

test("nothing to publish is refused", async () => {
  const owner = await startOwner();
  await expect(owner.load("nothing", {})).rejects.toMatchObject({ code: "ERR_CUDA_IPC_EMPTY" });
});

test("a device that is not there is refused", async () => {
  const owner = await startOwner();
  await expect(owner.load("x", someTensors(), { device: 99 })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_INVALID_DEVICE",
  });
});

describe("identity", () => {
  test("equal content is equal, whichever way it is shared", async () => {
    const owner = await startOwner();
    const [first, second] = [
      await owner.load("a", someTensors(), { sharing: "vmm" }),
      await owner.load("b", someTensors(), { sharing: "ipc" }),
    ];
    expect(first.checksum).toBe(second.checksum);
  });

  test("other bytes in the same shapes are told apart, also by whoever attaches", async () => {
    const owner = await startOwner();
    const first = await owner.load("llm", someTensors(1));
    const second = await owner.load("llm", someTensors(2));
    expect(second.checksum).not.toBe(first.checksum);
    const worker = await startWorker();
    const { socket } = owner;
    await expect(worker.call("attach", "llm", { socket, checksum: first.checksum })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_CHECKSUM_MISMATCH",
    });
    await worker.call("attach", "llm", { socket, checksum: second.checksum });
    expect(second.refCount).toBe(1);
  });
});

test.each(["vmm", "ipc"])("%s: tensors of one set on two devices", async (sharing) => {
  const machine = hostMachine();
  const { owner, socket } = await startHostOwner(machine, folder);
  const tensors = someTensors();
  const { devices } = await owner.call<{ devices: string[] }>("load", "split", tensors, {
    sharing,
    placement: { floats: 1, bytes: 0 },
  });
  const worker = await startHostWorker(machine);
  expect(devices.toSorted()).toEqual((await worker.call<string[]>("devices")).toSorted());
  const key = await worker.call<number>("attach", "split", { socket });
  expect(await worker.call("tensorFacts", key)).toMatchObject([
    { name: "floats", device: 1 },
    { name: "bytes", device: 0 },
  ]);
  expect(await worker.call("toHost", key, "floats")).toEqual(tensors.floats);
  expect(await worker.call("read", key, "bytes")).toEqual(tensors.bytes);
  expect(await worker.call("mappings")).toEqual({ mappings: 2, references: 2 });
});
