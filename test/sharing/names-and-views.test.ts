// What a program meets first: names, what console.log shows, and tensors of weights that are gone.
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { attach, follow } from "../../dist/lib/index.js";
import { coded } from "../helpers/errors.js";
import { startOwner } from "../helpers/sharing.js";

const tensors = { w: new Float32Array(4) };

test("a set's name has up to 256 characters, at both ends", async () => {
  const owner = await startOwner();
  const { socket } = owner;
  const longest = "x".repeat(256);
  await owner.load(longest, tensors);
  await (await attach(longest, { socket })).release();
  for (const name of ["", `${longest}x`, 7 as never]) {
    await expect(owner.load(name, tensors)).rejects.toThrow(coded("INVALID_ARGUMENT"));
    await expect(attach(name, { socket })).rejects.toThrow(coded("INVALID_ARGUMENT"));
  }
});

test("an attach to what is not there says what there is, and what to do", async () => {
  const owner = await startOwner();
  const { socket } = owner;
  await expect(attach("llm", { socket })).rejects.toThrow(
    /: it was never published there, or was withdrawn\. It has none\. Load it there/,
  );
  await owner.load("llm", tensors);
  await expect(attach("llama", { socket })).rejects.toThrow(/It has "llm"\. Load it there/);
  await expect(attach("llm", { socket, version: "0".repeat(32) })).rejects.toThrow(/to the current one/);
  const weights = await attach("llm", { socket });
  await owner.retire("llm");
  await expect(attach("llm", { socket })).rejects.toThrow(/or was withdrawn\. It has none\./);
  await expect(attach("llm", { socket })).rejects.toThrow(coded("NO_SET"));
  await weights.release();
});

test("released weights give no tensor, whether it was asked for before or not", async () => {
  const owner = await startOwner();
  await owner.load("llm", { ...tensors, v: new Float32Array(1) });
  const weights = await attach("llm", { socket: owner.socket });
  const known = weights.tensor("w");
  await weights.release();
  for (const name of ["w", "v"]) expect(() => weights.tensor(name)).toThrow(coded("RELEASED"));
  expect(() => known.devicePointer).toThrow(coded("RELEASED"));
});

test("a write of the wrong size says both sizes", async () => {
  const owner = await startOwner();
  await owner.load("llm", tensors, { writable: true });
  const weights = await attach("llm", { socket: owner.socket, access: "readwrite" });
  const write = (data: unknown) => weights.tensor("w").write(data as Float32Array);
  await expect(write(new Float32Array(3))).rejects.toThrow(
    /Expected 16, the tensor's bytes, .* received 12 /,
  );
  await expect(write([1, 2, 3, 4])).rejects.toThrow(coded("INVALID_ARGUMENT"));
  await weights.release();
});

test("console.log shows what an object is, and not what it is made of", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", tensors, { writable: true });
  const weights = await attach("llm", { socket: owner.socket });
  const lock = await weights.lock("counter");
  const following = await follow("llm", { socket: owner.socket });
  const shown = [owner, version, weights, weights.tensor("w"), lock, following].map((object) =>
    inspect(object),
  );
  expect(shown[1]).toMatch(/^Version \{\s+set: 'llm',\s+number: 1,/);
  expect(shown[2]).toMatch(/^Weights \{\s+name: 'llm',\s+version: 1,/);
  expect(shown[3]).toBe("Tensor { name: 'w', dtype: 'F32', shape: [ 4 ], bytes: 16, device: 0 }");
  for (const text of shown) expect(text.split("\n").length, text).toBeLessThan(25);
  expect(inspect({ a: { b: { weights } } }, { depth: 1 })).toContain("[Object]");
  expect(inspect({ a: { weights } }, { depth: 1 })).toContain("[Weights]");
  await lock.release();
  await Promise.all([following.dispose(), weights.release()]);
});
