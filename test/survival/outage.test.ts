// What workers do while there is no owner is done, or settled with the next one.
import { expect, test } from "vitest";
import { someTensors, startOwner, startWorker } from "../helpers/sharing.js";
import { apart, counted, kill, startHolder, startMortal, startSuccessor, stop } from "../helpers/survival.js";

const coded = (code: string) => expect.objectContaining({ code: `ERR_CUDA_IPC_${code}` });

test("a release is settled with the next owner", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", someTensors());
  const { worker, key } = await startHolder("set", { socket });
  const kept = await worker.call<number>("retain", key);
  await kill(mortal.child);
  await worker.event("ownerlost");
  await worker.call("release", key);
  expect(await worker.call("computeChecksum", kept)).toHaveLength(32);

  const { owner } = await startSuccessor(socket);
  const { restored } = await owner.whenRecovered();
  expect(restored).toHaveLength(1);
  expect(owner.current("set")).toMatchObject({ refCount: 1, refCountExact: true });
});

test("who has released everything owes that to the next owner, and nothing more", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", someTensors());
  const { worker, key } = await startHolder("set", { socket });
  await kill(mortal.child);
  await worker.event("ownerlost");
  await worker.call("release", key);
  const { owner, lost } = await startSuccessor(socket);
  await owner.whenRecovered();
  expect(lost).toEqual(["set 1"]);
  expect(await worker.call("connectionsGone")).toBe(true);
});

test("attach waits for the next owner, in a process that had one and in one that had none", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const { id, checksum } = await mortal.load("set", someTensors());
  const { worker } = await startHolder("set", { socket });
  const fresh = await startWorker();
  await kill(mortal.child);
  await worker.event("ownerlost");
  const attaching = [worker, fresh].map((each) => each.call<number>("attach", "set", { socket }));
  const { owner } = await startSuccessor(socket);
  const keys = await Promise.all(attaching);
  expect(await worker.call("facts", keys[0])).toMatchObject({ version: { id }, checksum });
  expect(await fresh.call("computeChecksum", keys[1])).toBe(checksum);
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({ refCount: 3, refCountExact: true });
});

test("attach that was asked of the owner that died is asked of the next one", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", someTensors());
  const { worker } = await startHolder("set", { socket });
  const fresh = await startWorker();
  await stop(mortal.child);
  const attaching = [worker, fresh].map((each) => each.call("attach", "set", { socket }));
  for (const each of [worker, fresh]) await each.call("facts", 0).catch(() => {});
  await kill(mortal.child);
  const { owner } = await startSuccessor(socket);
  await Promise.all(attaching);
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({ refCount: 3, refCountExact: true });
});

test("attach waits for as long as it was told to", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", someTensors());
  const { worker } = await startHolder("set", { socket });
  await kill(mortal.child);
  for (const each of [worker, await startWorker()]) {
    await expect(each.call("attach", "set", { socket, timeout: 100 })).rejects.toThrow(coded("TIMEOUT"));
    await expect(each.call("abortedAttach", "set", { socket })).rejects.toMatchObject({ code: "ENOUGH" });
  }
  await (await startSuccessor(socket)).owner.whenRecovered();
});

test("an owner that ended in good order is not waited for", async () => {
  const owner = await startOwner();
  const { socket } = owner;
  await owner.load("set", someTensors());
  const worker = await startWorker();
  await worker.call("attachThenRelease", "set", { socket });
  await worker.call("disconnect");
  await owner.close();
  await expect(worker.call("attach", "set", { socket })).rejects.toThrow(coded("NO_OWNER"));
});

test("retain and refCount wait as well", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", someTensors());
  const { worker, key } = await startHolder("set", { socket });
  await kill(mortal.child);
  await worker.event("ownerlost");
  const waiting = Promise.all([worker.call("retain", key), worker.call("refCount", key)]);
  const { owner } = await startSuccessor(socket);
  await waiting;
  await owner.whenRecovered();
  expect(owner.current("set")!.refCount).toBe(2);
});

test("an attach that was given up leaves nothing at the next owner", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", someTensors());
  const { worker } = await startHolder("set", { socket });
  await stop(mortal.child);
  // Granted or not: nobody here can tell.
  await expect(worker.call("attach", "set", { socket, timeout: 50 })).rejects.toThrow(coded("TIMEOUT"));
  await kill(mortal.child);
  const { owner } = await startSuccessor(socket);
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({ refCount: 1, refCountExact: true });
});

test("what happened to a version meanwhile is told to who comes back", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("a", someTensors(1));
  await mortal.load("b", someTensors(2));
  const { worker } = await startHolder("a", { socket });
  await worker.call("attach", "b", { socket });
  await stop(worker);
  await kill(mortal.child);
  const { owner } = await startSuccessor(socket);
  const next = await owner.load("a", someTensors(3));
  await owner.retire("b");
  worker.resume();
  expect(await worker.event("superseded")).toMatchObject({ detail: { set: "a", version: next.id } });
  expect(await worker.event("retired")).toMatchObject({ detail: { set: "b" } });
  await owner.whenRecovered();
  expect(owner.versions().map(({ set, number, state }) => `${set} ${number} ${state}`)).toEqual([
    "a 1 superseded",
    "b 1 retired",
    "a 2 current",
  ]);
  expect(owner.current("a")).toBe(next);
});

test("an owner that is stopped keeps nobody who releases", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const { id } = await mortal.load("set", someTensors());
  const { worker, key } = await startHolder("set", { socket });
  await stop(mortal.child);
  await worker.call("release", key);
  expect(await worker.call("mappings")).toEqual({ mappings: 0, references: 0 });
  mortal.child.resume();
  await mortal.child.call("waitForRefCount", id, 0);
  expect(await worker.call("connectionsGone")).toBe(true);
});

test("several clients in one process come back, each with its own leases", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const { id } = await mortal.load("set", someTensors());
  const { worker } = await startHolder("set", { socket });
  const threads = await Promise.all([
    worker.call<number>("attachInThread", "set", { socket }),
    worker.call<number>("attachInThread", "set", { socket }),
  ]);
  await mortal.child.call("waitForRefCount", id, 3);
  await kill(mortal.child);
  const { owner } = await startSuccessor(socket);
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({ id, refCount: 3, refCountExact: true });
  expect(owner.current("set")!.holders).toMatchObject([{ pid: worker.pid, leases: 3 }]);
  for (const thread of threads) await worker.call("releaseInThread", thread);
  await counted(owner, id, 1);
});

test("the owner dies while a worker is mapping what it was granted: nothing is lost", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const { id } = await mortal.load("set", someTensors());
  const worker = await startWorker({ CUDA_IPC_HOST_FAULTS: "cuMemMap:*=slow=400" });
  const attaching = worker.call<number>("attach", "set", { socket });
  await mortal.child.call("waitForRefCount", id, 1);
  await kill(mortal.child);
  const { owner, lost } = await startSuccessor(socket);
  const key = await attaching;
  await owner.whenRecovered();
  expect(lost).toEqual([]);
  expect(owner.current("set")).toMatchObject({ id, refCount: 1, refCountExact: true });
  expect(await worker.call("computeChecksum", key)).toBe(owner.current("set")!.checksum);
});

test.each(apart)("a worker that no owner, each %s, can name is known by its leases", async (_, through) => {
  const mortal = await startMortal(undefined, {}, through);
  const { socket } = mortal;
  const { id } = await mortal.load("set", someTensors());
  const { worker, key } = await startHolder("set", { socket });
  const other = await worker.call<number>("retain", key);
  const { worker: dead } = await startHolder("set", { socket });
  await kill(mortal.child);
  await kill(dead);
  await worker.event("ownerlost");
  await worker.call("release", other);

  const { child } = await startMortal(socket, { recoveryDeadline: 3000 }, through);
  expect(await worker.event("ownerfound")).toMatchObject({ detail: { kept: true } });
  // The dead one has nobody who could prove its death: it is awaited for as long as it was said.
  expect(await child.call("recovering")).toBe(true);
  await child.event("recovered");
  expect(await child.call("version", id)).toMatchObject({ refCount: 1, presence: "present" });
  await worker.call("release", key);
  await child.call("waitForRefCount", id, 0);
});
