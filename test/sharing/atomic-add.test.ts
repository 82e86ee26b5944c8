import { expect, test } from "vitest";
import { attach } from "../../dist/lib/index.js";
import { coded } from "../helpers/errors.js";
import { startLocker } from "../helpers/locks.js";
import { startOwner } from "../helpers/sharing.js";

const counters = {
  u32: Uint32Array.of(7, 0xffff_ffff),
  i32: Int32Array.of(-5, 5),
  u64: BigUint64Array.of(1n << 60n, 0n),
  i64: BigInt64Array.of(-1n, 1n),
  f32: Float32Array.of(0.5, -2),
  f64: Float64Array.of(1),
  bytes: Uint8Array.of(1, 2, 3, 4),
};

async function attachCounters(access: "read" | "readwrite" = "readwrite") {
  const owner = await startOwner();
  await owner.load("llm", counters, { writable: true });
  return { owner, weights: await attach("llm", { socket: owner.socket, access }) };
}

test("each dtype adds to the one element and gives the value from before", async () => {
  const { weights } = await attachCounters();
  const add = (name: string, index: number, value: number | bigint) =>
    weights.tensor(name).atomicAdd(index, value);
  expect(await add("u32", 0, 3)).toBe(7);
  expect(await add("u32", 1, 2)).toBe(0xffff_ffff);
  expect(await add("i32", 0, -3)).toBe(-5);
  expect(await add("u64", 1, 2n ** 64n - 1n)).toBe(0n);
  expect(await add("i64", 0, -(2n ** 40n))).toBe(-1n);
  expect(await add("f32", 1, 0.25)).toBe(-2);
  const values = await Promise.all(
    ["u32", "i32", "u64", "i64", "f32"].map((name) => weights.tensor(name).toHost()),
  );
  expect(values).toEqual([
    Uint32Array.of(10, 1),
    Int32Array.of(-8, 5),
    BigUint64Array.of(1n << 60n, 2n ** 64n - 1n),
    BigInt64Array.of(-1n - 2n ** 40n, 1n),
    Float32Array.of(0.5, -1.75),
  ]);
  const counters = weights.tensor("u32");
  await weights.release();
  await expect(counters.atomicAdd(0, 1)).rejects.toThrow(coded("RELEASED"));
});

test("what cannot be added to is refused, with nothing changed", async () => {
  const { owner, weights } = await attachCounters();
  for (const dtype of ["f64", "bytes"]) {
    await expect(weights.tensor(dtype).atomicAdd(0, 1)).rejects.toThrow(coded("NO_ATOMICS"));
  }
  const wrong: [string, unknown][] = [
    ...([-1, 1.5, 2 ** 32, 1n, "1", Number.NaN] as unknown[]).map((value): [string, unknown] => [
      "u32",
      value,
    ]),
    ...([2 ** 31, 1n] as unknown[]).map((value): [string, unknown] => ["i32", value]),
    ...([1, -1n, 2n ** 64n] as unknown[]).map((value): [string, unknown] => ["u64", value]),
    ...([2n ** 63n] as unknown[]).map((value): [string, unknown] => ["i64", value]),
    ...([1n, "1"] as unknown[]).map((value): [string, unknown] => ["f32", value]),
  ];
  for (const [name, value] of wrong) {
    const adding = weights.tensor(name).atomicAdd(0, value as number);
    await expect(adding, `${name} ${value}`).rejects.toThrow(coded("INVALID_ARGUMENT"));
  }
  for (const index of [-1, 2, 0.5, Number.NaN]) {
    await expect(weights.tensor("u32").atomicAdd(index, 1)).rejects.toThrow(coded("INVALID_ARGUMENT"));
  }
  const reader = await attach("llm", { socket: owner.socket });
  await expect(reader.tensor("u32").atomicAdd(0, 1)).rejects.toThrow(coded("READ_ONLY"));
  expect(await reader.tensor("u32").toHost()).toEqual(counters.u32);
  await Promise.all([weights.release(), reader.release()]);
});

test("many at a time, in several processes, without a lock: every value from before is there once", async () => {
  const owner = await startOwner();
  await owner.load("llm", { counter: new Uint32Array(1) }, { writable: true });
  const lockers = await Promise.all([1, 2, 3].map(() => startLocker(owner)));
  const seen = await Promise.all(lockers.map((locker) => locker.call<number[]>("add", "counter", 100)));
  expect(seen.flat().sort((a, b) => a - b)).toEqual([...Array(300).keys()]);
});
