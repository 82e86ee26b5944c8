// The identity of content: whoever asks for one gets that or nothing.
import { expect, test } from "vitest";
import { attach, type Owner } from "../../dist/lib/index.js";
import { coded } from "../helpers/errors.js";
import { sharings, startOwner } from "../helpers/sharing.js";

type Tensors = Parameters<Owner["load"]>[1];

/** Two tensors of 1000 elements, the last of which is `last`. */
const content = (last = 1): Record<string, Float32Array> => ({
  first: new Float32Array(1000).fill(1),
  second: new Float32Array(1000).fill(1, 0, 999).fill(last, 999),
});

test.each(sharings)(
  "%s: the last bit of the last tensor is enough to tell versions apart",
  async (sharing) => {
    const owner = await startOwner();
    const first = await owner.load("llm", content(1), { sharing });
    const weights = await attach("llm", { socket: owner.socket });
    const [one, next] = [Float32Array.of(1), new Uint32Array(1)];
    next[0] = new Uint32Array(one.buffer)[0]! ^ 1;
    const second = await owner.load("llm", content(new Float32Array(next.buffer)[0]), { sharing });
    expect(second.checksum).not.toBe(first.checksum);
    // Of the current version only: that the other one is still there does not make it the one to get.
    const { socket } = owner;
    await expect(attach("llm", { socket, checksum: first.checksum })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_CHECKSUM_MISMATCH",
      details: { expected: first.checksum, actual: second.checksum },
    });
    await expect(attach("llm", { socket, version: first.id, checksum: second.checksum })).rejects.toThrow(
      coded("CHECKSUM_MISMATCH"),
    );
    expect([first.refCount, second.refCount]).toEqual([1, 0]);
    const old = await attach("llm", { socket, version: first.id, checksum: first.checksum });
    expect([old.checksum, await old.computeChecksum()]).toEqual([first.checksum, first.checksum]);
    const latest = await weights.latest();
    expect(await latest.computeChecksum()).toBe(second.checksum);
    await Promise.all([weights.release(), old.release(), latest.release()]);
  },
);

test("the same bytes are something else under another name, shape or dtype, and in another order", async () => {
  const owner = await startOwner();
  const data = content().first!;
  const other: Tensors[] = [
    { first: data, second: data },
    { first: data, third: data },
    { first: data, second: { data, shape: [10, 100], dtype: "F32" } },
    { first: data, second: new Int32Array(data.buffer) },
    { second: data, first: data },
  ];
  const checksums = new Set<string>();
  for (const tensors of other) checksums.add((await owner.load("llm", tensors)).checksum);
  expect(checksums.size).toBe(other.length);
  // And the same content is the same, whenever it is loaded and under whichever name.
  expect(checksums).toContain((await owner.load("copy", content())).checksum);
});
