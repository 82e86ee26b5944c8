// What is wrong with an argument is said by its own name, and rejects.
import { readdirSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { attach, defaultSocket, Owner, openCheckpoint, writeSafetensors } from "../../dist/lib/index.js";
import { coded } from "../helpers/errors.js";
import { folder, someTensors, startOwner } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

const invalid = (message: string | RegExp) =>
  expect.objectContaining({
    code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
    message: typeof message === "string" ? expect.stringContaining(message) : expect.stringMatching(message),
  });
const half = "\ud800";

test("a runtime folder that is named relatively is none", () => {
  const { XDG_RUNTIME_DIR: runtime, CUDA_IPC_SOCKET: named } = process.env;
  try {
    delete process.env.CUDA_IPC_SOCKET;
    process.env.XDG_RUNTIME_DIR = "/run/user/1";
    expect(defaultSocket()).toBe("/run/user/1/cuda-ipc/owner.sock");
    for (const relative of ["run", "./run", ""]) {
      process.env.XDG_RUNTIME_DIR = relative;
      expect(defaultSocket()).toBe(path.join(os.tmpdir(), `cuda-ipc-${process.getuid!()}`, "owner.sock"));
    }
  } finally {
    for (const [name, value] of Object.entries({ XDG_RUNTIME_DIR: runtime, CUDA_IPC_SOCKET: named })) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
});

test("a set and a lock have names that others can be told", async () => {
  const owner = await startOwner();
  const { socket } = owner;
  await expect(owner.load(`a${half}`, someTensors())).rejects.toThrow(invalid("unpaired surrogates"));
  await expect(attach(half, { socket })).rejects.toThrow(invalid("unpaired surrogates"));
  await owner.load("\u{1f600}", someTensors(), { writable: true });
  const weights = await attach("\u{1f600}", { socket });
  await expect(weights.lock(half)).rejects.toThrow(invalid("unpaired surrogates"));
  await (await weights.lock("\u{1f600}")).release();
  await weights.release();
});

test("a write that cannot be rejects", async () => {
  const owner = await startOwner();
  await owner.load("m", { a: Uint8Array.of(1) }, { writable: true });
  const weights = await attach("m", { socket: owner.socket });
  const tensor = weights.tensor("a");
  const writes = [() => tensor.write(5 as never), () => tensor.write(Buffer.alloc(2))];
  // Not thrown.
  for (const write of writes) expect(write().catch((error) => error.code)).toBeInstanceOf(Promise);
  for (const write of writes) await expect(write()).rejects.toThrow(coded("INVALID_ARGUMENT"));
  await expect(tensor.write(Buffer.alloc(1))).rejects.toThrow(coded("READ_ONLY"));
  await weights.release();
});

test("a checksum is in lower case", async () => {
  const checksum = "AB".repeat(16);
  await expect(attach("m", { checksum })).rejects.toThrow(
    invalid("32 lower-case hex characters for checksum"),
  );
});

test("allowUids is what is named", async () => {
  for (const allowUids of [[-1], [1.5], ["root"], [2 ** 32], 1000, null]) {
    const listening = Owner.listen({ socket: newSocket(folder), allowUids: allowUids as number[] });
    await expect(listening).rejects.toThrow(
      invalid("user ids (integers from 0 to 4294967294) for allowUids"),
    );
  }
});

test("a tensor from memory that does not fit says why", async () => {
  const owner = await startOwner();
  const load = (dtype: "F4" | "F6_E2M3" | "F64", shape: number[]) =>
    owner.load("m", { t: { dtype, shape, data: new Uint8Array(8) } });
  await expect(load("F4", [3])).rejects.toThrow(
    invalid(/F4 of shape \[3\] does not end at a byte: its elements come by 2$/),
  );
  await expect(load("F6_E2M3", [2])).rejects.toThrow(invalid("come by 4"));
  await expect(load("F64", [2 ** 40, 2 ** 40])).rejects.toThrow(invalid("larger than JavaScript can count"));
  await expect(load("F64", [2 ** 52])).rejects.toThrow(invalid("larger than JavaScript can count"));
  await expect(load("F64", [2])).rejects.toThrow(invalid("has 16 bytes, but its data has 8"));
});

test("nothing is written where there is no path", async () => {
  const before = readdirSync(".");
  for (const file of [5, "", "a\0b", undefined]) {
    await expect(writeSafetensors(file as string, [])).rejects.toThrow(
      invalid("the path of a file for path"),
    );
  }
  expect(readdirSync(".")).toEqual(before);
});

test("a checkpoint that cannot be reached says what to look at", async () => {
  const index = path.join(folder, "model.safetensors.index.json");
  writeFileSync(index, JSON.stringify({ weight_map: {} }));
  await expect(openCheckpoint(index)).rejects.toThrow("weight_map is empty: it must map tensor names");
  await expect(openCheckpoint(path.join(index, "below.json"))).rejects.toThrow(
    "(ENOTDIR). Something on the way to it is no folder: check the path.",
  );
  const link = path.join(folder, "circle.json");
  symlinkSync(link, link);
  await expect(openCheckpoint(link)).rejects.toThrow(
    "(ELOOP). Its symbolic links go round in a circle: check where they lead.",
  );
});
