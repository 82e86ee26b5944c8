// load({ ifChanged: true }): what is there already, or has come back from an owner that died, is not loaded again.
import { readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Owner } from "../../dist/lib/index.js";
import { watchOwner } from "../helpers/leaks.js";
import { modelFile, someTensors, startOwner } from "../helpers/sharing.js";
import { kill, startHolder, startMortal, startSuccessor } from "../helpers/survival.js";

const ifChanged = true;
const bytes = 100_000;

/** Loads, and says whether data was read for it. */
async function load(owner: Owner, source: string, options: object = {}) {
  let read = false;
  const onProgress = () => {
    read = true;
  };
  const version = await owner.load("set", source, { ifChanged, onProgress, ...options });
  return { version, number: version.number, read };
}

test("the current version is kept while nothing about it would be another", async () => {
  const owner = await startOwner();
  const file = await modelFile(bytes);
  const { version: first, ...facts } = await load(owner, file);
  expect(facts).toEqual({ number: 1, read: true });
  expect(await load(owner, file)).toEqual({ version: first, number: 1, read: false });
  expect((await load(owner, file, { pinned: true })).version.pinned).toBe(true);
  first.unpin();

  expect(await load(owner, file, { writable: true })).toMatchObject({ number: 2, read: true });
  expect(await load(owner, file, { writable: true })).toMatchObject({ number: 2, read: false });
  expect(await load(owner, file, { sharing: "ipc" })).toMatchObject({ number: 3, read: true });
  expect(await load(owner, file)).toMatchObject({ number: 3, read: false });
  // A function may choose otherwise the next time.
  expect(await load(owner, file, { device: () => 0 })).toMatchObject({ number: 4, read: true });
  expect(await load(owner, file, { device: () => 0 })).toMatchObject({ number: 5, read: true });
  expect((await owner.load("set", file)).number).toBe(6);
  const memory = [await owner.load("other", someTensors(), { ifChanged })];
  memory.push(await owner.load("other", someTensors(), { ifChanged }));
  expect(memory.map(({ number }) => number)).toEqual([1, 2]);
});

test.each([
  ["touched", (file: string) => utimesSync(file, new Date(), new Date())],
  [
    "overwritten by as many bytes at the same time",
    (file: string) => {
      const { atime, mtime } = statSync(file);
      writeFileSync(file, readFileSync(file).fill(7, bytes));
      utimesSync(file, atime, mtime);
    },
  ],
  [
    "replaced by a copy",
    (file: string) => {
      writeFileSync(`${file}.new`, readFileSync(file));
      renameSync(`${file}.new`, file);
    },
  ],
])("a file that was %s is loaded again", async (_, change) => {
  const owner = await startOwner();
  const file = await modelFile(bytes);
  await load(owner, file);
  change(file);
  expect(await load(owner, file)).toMatchObject({ number: 2, read: true });
});

test("a file that is gone makes nothing else, and one that cannot be read is an error", async () => {
  const owner = await startOwner();
  const file = await modelFile(bytes);
  const { version } = await load(owner, file);
  writeFileSync(file, "no checkpoint");
  await expect(load(owner, file)).rejects.toMatchObject({ code: "ERR_CUDA_IPC_FORMAT" });
  rmSync(file);
  expect(await load(owner, file)).toEqual({ version, number: 1, read: false });
  await expect(load(owner, file, { writable: true })).rejects.toMatchObject({ code: "ERR_CUDA_IPC_FILE" });
  await expect(load(owner, `${file}.other`)).rejects.toMatchObject({ code: "ERR_CUDA_IPC_FILE" });
  expect(owner.current("set")).toBe(version);
});

test("what a worker gives back to the next owner is kept, although it has yet to come", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const file = await modelFile(bytes);
  const { id } = await mortal.load("set", file);
  const { worker, key } = await startHolder("set", { socket });
  await kill(mortal.child);
  const { owner } = await startSuccessor(socket);
  expect(owner.current("set")).toMatchObject({ id, presence: "awaited" });
  expect(await load(owner, file)).toMatchObject({
    version: { id, presence: "present" },
    number: 1,
    read: false,
  });
  expect(await worker.event("ownerfound")).toMatchObject({ detail: { kept: true } });
  await owner.whenRecovered();
  await worker.call("release", key);
});

test("what nobody gives back is loaded, and what came from another file is superseded", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const file = await modelFile(bytes);
  await mortal.load("set", file);
  await kill(mortal.child);
  const { owner } = await startSuccessor(socket);
  expect(await load(owner, file)).toMatchObject({ number: 2, read: true });
  const { worker, key } = await startHolder("set", { socket });
  expect(await load(owner, await modelFile(bytes))).toMatchObject({ number: 3, read: true });
  await worker.event("superseded");
  await worker.call("release", key);
});

test("it is known of a version through a standby and a hand-over", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const file = await modelFile(bytes);
  const { id } = await mortal.load("set", file);
  const standby = await Owner.standby({ socket });
  await kill(mortal.child);
  const first = await standby.owner;
  expect(await load(first, file)).toMatchObject({ version: { id }, read: false });
  await first.whenRecovered();
  const second = watchOwner(await Owner.takeOver({ socket }));
  await second.whenRecovered();
  expect(await load(second, file)).toMatchObject({ version: { id }, read: false });
});

test("waiting for what may come back ends with the signal", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const file = await modelFile(bytes);
  await mortal.load("set", file);
  const { worker, key } = await startHolder("set", { socket });
  worker.stop();
  await kill(mortal.child);
  const { owner } = await startSuccessor(socket);
  const signal = AbortSignal.timeout(100);
  await expect(load(owner, file, { signal })).rejects.toMatchObject({ name: "TimeoutError" });
  worker.resume();
  expect(await load(owner, file)).toMatchObject({ number: 1, read: false });
  await owner.whenRecovered();
  await worker.call("release", key);
});
