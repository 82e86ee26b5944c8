// What a loader process makes of its input is what this process makes of it.
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { loadersGone, loadWeights } from "../../dist/lib/loading/load.js";
import { closeSlab } from "../../dist/lib/loading/owned-slab.js";
import type { WeightsInput } from "../../dist/lib/loading/source.js";
import { verifySlabs } from "../../dist/lib/loading/verify.js";
import { type NativeFd, native } from "../../dist/lib/native.js";
import { fixtures } from "../helpers/sharing.js";
import { loadersOf } from "./loaders.js";

const numbers = (bytes: number, seed = 1) =>
  new Uint8Array(bytes).map((_, index) => (index * 31 + (index >> 8) * seed) & 255);

const inputs: Record<string, WeightsInput> = {
  "a file": path.join(fixtures, "llama-single/model.safetensors"),
  "a folder of shards": path.join(fixtures, "llama-sharded"),
  "every dtype": path.join(fixtures, "dtypes/dtypes.safetensors"),
  "no bytes at all": { none: new Float32Array(0) },
  "one byte": { one: numbers(1) },
  "odd sizes and none": { a: numbers(255), none: new Int8Array(0), b: numbers(257), c: numbers(1) },
  "a part of a larger buffer": { part: numbers(5000).subarray(77, 4321) },
  "3000 small tensors": Object.fromEntries(
    Array.from({ length: 3000 }, (_, index) => [`t${index}`, numbers(index % 700, index)]),
  ),
  "40 MiB": { small: numbers(100), large: numbers(40 << 20) },
  "memory that is shared": { shared: new Uint8Array(new SharedArrayBuffer(9000)).fill(5) },
};

afterAll(async () => {
  await loadersGone();
  expect(loadersOf()).toEqual([]);
});

describe.each(Object.entries(inputs))("%s", (_, input) => {
  test("has the same content", async () => {
    const here = await loadWeights(input, { loading: "inline", sharing: "vmm" });
    const apart = await loadWeights(input, { loading: "process" });
    const { checksum, contentKey, tensors, source, sharing } = apart;
    const { slabs: _slabs, ...expected } = here;
    expect({ checksum, contentKey, tensors, source, sharing }).toEqual(expected);
    expect(apart.slabs.map(({ device, bytes }) => ({ device, bytes }))).toEqual(
      here.slabs.map(({ device, bytes }) => ({ device, bytes })),
    );
    expect(await verifySlabs(apart.slabs, tensors)).toBe(checksum);
    await Promise.all([...here.slabs, ...apart.slabs].map(closeSlab));
  });
});

describe("verification", () => {
  const load = () => loadWeights({ a: numbers(3000), b: numbers(700) }, { loading: "process" });

  test("notices other bytes, another manifest, and memory of another version", async () => {
    const [one, other] = [await load(), await loadWeights({ a: numbers(3001) }, { loading: "process" })];
    const [slab] = one.slabs;
    const renamed = one.tensors.map((tensor) => ({ ...tensor, name: `${tensor.name}x` }));
    expect(await verifySlabs(one.slabs, renamed)).not.toBe(one.checksum);
    expect(await verifySlabs([{ ...slab!, fd: other.slabs[0]!.fd }], one.tensors)).not.toBe(one.checksum);
    await flipByte(slab!, 1234);
    expect(await verifySlabs(one.slabs, one.tensors)).not.toBe(one.checksum);
    await Promise.all([...one.slabs, ...other.slabs].map(closeSlab));
  });

  test("refuses descriptors of anything else, and devices that are not there", async () => {
    const loaded = await load();
    const [slab] = loaded.slabs;
    const impostors: NativeFd[] = [
      native.createMemfd("zeros", slab!.bytes),
      native.createMemfd("nothing", 0),
      native.socketPair()[1],
    ];
    for (const fd of impostors) {
      await expect(verifySlabs([{ ...slab!, fd }], loaded.tensors)).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_CUDA_IPC_/),
      });
      fd.close();
    }
    await expect(verifySlabs([{ ...slab!, device: "GPU-none" }], loaded.tensors)).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_DEVICE_NOT_VISIBLE",
      details: { device: "GPU-none" },
    });
    await closeSlab(slab!);
  });

  test("can be aborted", async () => {
    const loaded = await load();
    const controller = new AbortController();
    const verifying = verifySlabs(loaded.slabs, loaded.tensors, { signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(verifying).rejects.toThrow("enough");
    await Promise.all(loaded.slabs.map(closeSlab));
  });
});

async function flipByte(
  { id, device, bytes, fd }: { id: string; device: string; bytes: number; fd?: NativeFd },
  offset: number,
): Promise<void> {
  const mapping = await native.openSlab({
    ...{ id: Buffer.from(id, "hex"), uuid: device, bytes, access: "readwrite", fd },
  });
  const byte = new Uint8Array(1);
  const at = mapping.devicePointer + BigInt(offset);
  await native.memcpyDtoH(0, byte, at);
  await native.memcpyHtoD(
    0,
    at,
    byte.map((value) => value ^ 1),
  );
  await mapping.close();
}
