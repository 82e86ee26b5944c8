// The owner is SIGKILLed while workers hold vmm memory; another one takes its place.
import { rmSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { writeSafetensors } from "../../dist/lib/index.js";
import { startChild } from "../helpers/child.js";
import { folder, someTensors, startWorker } from "../helpers/sharing.js";
import {
  counted,
  kill,
  rawClient,
  startHolder,
  startMortal,
  startSuccessor,
  stop,
} from "../helpers/survival.js";

test("it is whole again without the file: same version, same bytes, exact counts", async () => {
  const file = path.join(folder, "gone.safetensors");
  const { floats, bytes: raw } = someTensors();
  await writeSafetensors(file, [
    { name: "floats", dtype: "F32", shape: [floats.length], data: floats },
    { name: "raw", dtype: "U8", shape: [raw.length], data: raw },
  ]);
  const mortal = await startMortal();
  const { socket } = mortal;
  const loaded = await mortal.load("set", file);
  rmSync(file);
  const { worker: one, key } = await startHolder("set", { socket });
  const second = await one.call<number>("attach", "set", { socket });
  const { worker: two, key: other } = await startHolder("set", { socket });
  const bytes = await one.call("hashes", key);

  await kill(mortal.child);
  for (const worker of [one, one, two]) expect(await worker.event("ownerlost")).toMatchObject({});
  expect(await one.call("hashes", key)).toEqual(bytes);
  expect(await two.call("hashes", other)).toEqual(bytes);

  const { owner, lost, refused } = await startSuccessor(socket);
  expect(owner.recovering).toBe(true);
  const { restored } = await owner.whenRecovered();
  expect(owner.recovering).toBe(false);
  expect(restored).toEqual([owner.current("set")]);
  const version = owner.current("set")!;
  expect(version).toMatchObject({ id: loaded.id, number: 1, checksum: loaded.checksum, tensors: 2 });
  expect(version).toMatchObject({ presence: "present", state: "current", bytes: loaded.bytes });
  expect([version.refCount, version.refCountExact]).toEqual([3, true]);
  expect(version.holders.map(({ pid, leases }) => [pid, leases]).sort()).toEqual(
    [
      [one.pid, 2],
      [two.pid, 1],
    ].sort(),
  );
  for (const worker of [one, one, two]) {
    expect(await worker.event("ownerfound")).toMatchObject({ detail: { owner: owner.id, kept: true } });
  }
  expect(await one.call("refCount", second)).toEqual({ count: 3, exact: true });

  const { worker: late, key: newest } = await startHolder("set", { socket, checksum: loaded.checksum });
  expect(await late.call("hashes", newest)).toEqual(bytes);
  expect(await late.call("facts", newest)).toMatchObject({ version: { id: loaded.id, number: 1 } });
  expect(version.refCount).toBe(4);
  expect(lost).toEqual([]);
  expect(refused).toEqual([]);

  const next = await owner.load("set", someTensors(2));
  expect(next.number).toBe(2);
  expect(await one.event("superseded")).toMatchObject({ detail: { version: next.id } });
});

test("whoever connects is told whether the owner is recovering at that moment", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", someTensors());
  const { worker } = await startHolder("set", { socket });
  await stop(worker);
  await kill(mortal.child);
  const { owner } = await startSuccessor(socket);
  const welcome = async () => {
    const peer = startChild("peer.cjs");
    await peer.call("connect", socket);
    await peer.call("hello");
    return peer.call("next");
  };
  const wanted = expect.objectContaining({ length: 1 });
  expect(await welcome()).toMatchObject({ type: "welcome", recovering: true, wanted });
  worker.resume();
  await owner.whenRecovered();
  expect(await welcome()).toMatchObject({ type: "welcome", recovering: false, wanted: [] });
});

test("until a stopped worker is back, counts are a lower bound and nothing is freed", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const old = await mortal.load("set", someTensors(1));
  const { worker: stopped } = await startHolder("set", { socket });
  const { worker, key: olds } = await startHolder("set", { socket });
  const current = await mortal.load("set", someTensors(2));
  const key = await worker.call<number>("attach", "set", { socket });

  await stop(stopped);
  await kill(mortal.child);
  const { owner } = await startSuccessor(socket);
  expect(await worker.event("ownerfound")).toMatchObject({ detail: { kept: true } });
  await counted(owner, old.id, 1);
  const [first, second] = owner.versions();
  expect(first).toMatchObject({ id: old.id, state: "superseded", refCountExact: false });
  expect(second).toMatchObject({ id: current.id, state: "current", refCount: 1, refCountExact: false });
  expect(await worker.call("refCount", key)).toEqual({ count: 1, exact: false });

  await worker.call("release", olds);
  expect(first).toMatchObject({ refCount: 0, state: "superseded" });
  expect(owner.recovering).toBe(true);

  stopped.resume();
  await owner.whenRecovered();
  expect(first).toMatchObject({ refCount: 1, refCountExact: true, state: "superseded", presence: "present" });
  expect(await stopped.event("ownerlost")).toBeDefined();
  expect(await stopped.event("ownerfound")).toMatchObject({ detail: { kept: true } });
  const gone = first!.whenFreed();
  await kill(stopped);
  await gone;
  expect(owner.versions().map(({ id }) => id)).toEqual([current.id]);
});

test("so many may wait for a version to come back, and not more", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", someTensors());
  const { worker } = await startHolder("set", { socket });
  await stop(worker);
  await kill(mortal.child);
  const { owner } = await startSuccessor(socket);
  const line = await rawClient(socket);
  const lease = (n: number) => n.toString(16).padStart(32, "0");
  const attach = (n: number) =>
    line.request("attach", {
      ...{ set: "set", version: null, checksum: null, access: "read", lease: lease(n) },
    });
  const waiting = Array.from({ length: 4096 }, (_, n) => attach(n + 1).catch(({ code }) => code));
  await expect(attach(5000)).rejects.toMatchObject({ code: "ERR_CUDA_IPC_LEASE_LIMIT" });
  await kill(worker);
  await owner.whenRecovered();
  expect(new Set(await Promise.all(waiting))).toEqual(new Set(["ERR_CUDA_IPC_NO_SET"]));
  await expect(attach(5000)).rejects.toMatchObject({ code: "ERR_CUDA_IPC_NO_SET" });
  line.close();
});

test("what nobody holds any more is freed when the recovery ends, and not before", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", someTensors(1));
  const { worker, key } = await startHolder("set", { socket });
  await mortal.load("set", someTensors(2));
  await worker.call("attach", "set", { socket });
  const { worker: stopped } = await startHolder("set", { socket });
  await stop(stopped);
  await kill(mortal.child);

  const { owner } = await startSuccessor(socket);
  const [old] = owner.versions();
  for (let weights = 0; weights < 2; weights++) await worker.event("ownerfound");
  await worker.call("release", key);
  expect(old).toMatchObject({ number: 1, refCount: 0, state: "superseded", presence: "present" });
  expect(owner.recovering).toBe(true);
  const freed = old!.whenFreed();
  await kill(stopped);
  await freed;
  await owner.whenRecovered();
  expect(owner.versions().map(({ number }) => number)).toEqual([2]);
});

test("a worker that died meanwhile has no lease any more", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const { id } = await mortal.load("set", someTensors());
  const { worker: dead } = await startHolder("set", { socket });
  const { worker: dying } = await startHolder("set", { socket });
  const { worker } = await startHolder("set", { socket });
  await stop(dying);
  await kill(mortal.child);
  await kill(dead);

  const { owner } = await startSuccessor(socket);
  await worker.event("ownerfound");
  const version = owner.current("set")!;
  expect(version).toMatchObject({ id, refCount: 1, refCountExact: false });
  await kill(dying);
  await owner.whenRecovered();
  expect([version.refCount, version.refCountExact]).toEqual([1, true]);
});

test("what only dead processes held is lost, and said to be", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("held", someTensors(1));
  await mortal.load("lost", someTensors(2));
  await mortal.load("nobody's", someTensors(3));
  const { worker } = await startHolder("held", { socket });
  const { worker: dead } = await startHolder("lost", { socket });
  await kill(dead);
  await kill(mortal.child);

  const { owner, lost } = await startSuccessor(socket);
  const outcome = await owner.whenRecovered();
  expect(outcome.restored.map(({ set }) => set)).toEqual(["held"]);
  expect(outcome.lost.map(({ set }) => set).sort()).toEqual(["lost", "nobody's"]);
  expect(lost.sort()).toEqual(["lost 1", "nobody's 1"]);
  expect(owner.versions().map(({ set }) => set)).toEqual(["held"]);
  await expect(worker.call("attach", "lost", { socket })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_NO_SET",
  });
  // Numbers count on: a version that was lost is not taken for another.
  expect((await owner.load("lost", someTensors(4))).number).toBe(2);
});

test("with every worker dead, everything is lost, whoever waits for it", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", someTensors());
  const { worker } = await startHolder("set", { socket });
  await stop(worker);
  await kill(mortal.child);
  const { owner, lost } = await startSuccessor(socket);
  const late = await startWorker();
  const attaching = late.call("attach", "set", { socket });
  attaching.catch(() => {});
  await kill(worker);
  await expect(attaching).rejects.toMatchObject({ code: "ERR_CUDA_IPC_NO_SET" });
  expect(lost).toEqual(["set 1"]);
  expect(owner.versions()).toEqual([]);
  expect(await owner.whenRecovered()).toMatchObject({ restored: [], lost: [{ set: "set", number: 1 }] });
});

test("dies, and the next one dies while it recovers", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const { id } = await mortal.load("set", someTensors(1));
  const { worker, key } = await startHolder("set", { socket });
  const { worker: stopped, key: other } = await startHolder("set", { socket });
  await stop(stopped);
  await kill(mortal.child);

  const second = await startMortal(socket);
  expect(await worker.event("ownerfound")).toMatchObject({ detail: { kept: true } });
  expect(await second.child.call("recovering")).toBe(true);
  await second.load("more", someTensors(2));
  const more = await worker.call<number>("attach", "more", { socket });
  await kill(second.child);

  const { owner, lost } = await startSuccessor(socket);
  for (const _ of [key, more]) await worker.event("ownerfound");
  expect(owner.recovering).toBe(true);
  stopped.resume();
  const { restored } = await owner.whenRecovered();
  expect(restored.map(({ set }) => set).sort()).toEqual(["more", "set"]);
  expect(owner.current("set")).toMatchObject({ id, refCount: 2, refCountExact: true });
  expect(owner.current("more")).toMatchObject({ number: 1, refCount: 1 });
  expect(lost).toEqual([]);
  expect(await stopped.call("hashes", other)).toEqual(await worker.call("hashes", key));
});

test("several sets and versions, superseded ones too, come back as they were", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const before: { id: string; number: number; checksum: string }[] = [];
  const workers = await Promise.all([startWorker(), startWorker()]);
  for (const number of [1, 2, 3]) {
    for (const set of ["a", "b"]) {
      const { id, checksum } = await mortal.load(set, someTensors(number + (set === "a" ? 0 : 10)));
      before.push({ id, number, checksum });
      await workers[number % 2]!.call("attach", set, { socket });
    }
  }
  await kill(mortal.child);
  const { owner, lost } = await startSuccessor(socket);
  await owner.whenRecovered();
  const after = owner.versions().map(({ id, number, checksum }) => ({ id, number, checksum }));
  expect(after).toEqual(before);
  for (const version of owner.versions()) {
    expect(version).toMatchObject({ refCount: 1, refCountExact: true, presence: "present" });
    expect(version.state).toBe(version.number === 3 ? "current" : "superseded");
  }
  expect(lost).toEqual([]);
  const [oldest] = owner.versions();
  const again = await workers[0]!.call<number>("attach", "a", { socket, version: oldest!.id });
  expect(await workers[0]!.call("computeChecksum", again)).toBe(oldest!.checksum);
});

test("sixteen workers at once", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const { id, checksum } = await mortal.load("set", someTensors());
  const holders = await Promise.all(Array.from({ length: 16 }, () => startHolder("set", { socket })));
  await kill(mortal.child);
  const { owner, refused } = await startSuccessor(socket);
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({ id, refCount: 16, refCountExact: true });
  for (const { worker, key } of holders) {
    expect(await worker.event("ownerfound")).toMatchObject({ detail: { kept: true } });
    expect(await worker.call("computeChecksum", key)).toBe(checksum);
  }
  expect(refused).toEqual([]);
});
