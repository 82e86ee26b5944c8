// A standby mirrors an owner, and is the owner when that one dies.
import { expect, test } from "vitest";
import { Owner } from "../../dist/lib/index.js";
import { native } from "../../dist/lib/native.js";
import { startChild } from "../helpers/child.js";
import { watchOwner } from "../helpers/leaks.js";
import { someTensors } from "../helpers/sharing.js";
import { counted, kill, startHolder, startMortal, startSuccessor } from "../helpers/survival.js";

/** A standby in this process, and the owner it becomes. */
async function standBy(socket: string) {
  const standby = await Owner.standby({ socket });
  const owner = standby.owner.then(watchOwner);
  owner.catch(() => {});
  return { standby, owner };
}

test("it takes over with everything even if every worker dies too, without CUDA", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const first = await mortal.load("set", someTensors(1));
  const { standby, owner } = await standBy(socket);
  expect(standby.versions).toBe(1);
  const { worker } = await startHolder("set", { socket });
  const second = await mortal.load("set", someTensors(2));
  worker.kill("SIGKILL");
  const started = performance.now();
  mortal.child.kill("SIGKILL");
  const taken = await owner;
  const took = performance.now() - started;
  await Promise.all([worker.exited, mortal.child.exited]);
  expect(took).toBeLessThan(1000);

  await taken.whenRecovered();
  expect(taken.current("set")).toMatchObject({
    id: second.id,
    number: 2,
    checksum: second.checksum,
    refCount: 0,
  });
  expect(taken.versions().map(({ id }) => id)).not.toContain(first.id);
  const { worker: late, key } = await startHolder("set", { socket, checksum: second.checksum });
  expect(await late.call("computeChecksum", key)).toBe(second.checksum);
  await late.call("release", key);
});

test("workers that live are counted again, and their old version is freed at its last lease", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const first = await mortal.load("set", someTensors(1));
  const { owner } = await standBy(socket);
  const { worker, key } = await startHolder("set", { socket });
  const second = await mortal.load("set", someTensors(2));
  await kill(mortal.child);
  const taken = await owner;
  await taken.whenRecovered();
  const old = taken.versions().find(({ id }) => id === first.id)!;
  expect(old).toMatchObject({ refCount: 1, refCountExact: true, state: "superseded" });
  expect(taken.current("set")).toMatchObject({ id: second.id, refCount: 0 });
  const freed = old.whenFreed();
  await worker.call("release", key);
  await freed;
});

test("what the owner frees, the standby lets go of: the memory is gone when both have", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const version = await mortal.load("set", { block: new Uint8Array(8 << 20) });
  const before = (await native.memoryInfo(0)).freeBytes;
  const { standby } = await standBy(socket);
  expect(standby.versions).toBe(1);
  await mortal.child.call("retire", "set");
  await mortal.child.call("waitForFreed", version.id);
  expect(standby.versions).toBe(0);
  expect((await native.memoryInfo(0)).freeBytes - before).toBe(8 << 20);
  await standby.close();
});

test("a standby that loses the race for the socket gives its mirror to the winner", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const version = await mortal.load("set", someTensors());
  const standby = startChild("owner.cjs");
  expect(await standby.call("standby", { socket })).toBe(1);
  // It cannot move while the other one is quicker.
  standby.process.kill("SIGSTOP");
  await kill(mortal.child);
  const { owner, lost } = await startSuccessor(socket);
  standby.process.kill("SIGCONT");
  await standby.event("overtaken");
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({
    id: version.id,
    checksum: version.checksum,
    presence: "present",
  });
  expect(lost).toEqual([]);
  expect(await standby.call("standbyVersions")).toBe(1);
  const { worker, key } = await startHolder("set", { socket });
  expect(await worker.call("computeChecksum", key)).toBe(version.checksum);
  await worker.call("release", key);
  await standby.call("closeStandby");
});

test("of two processes that start alike one is the owner and the other its standby", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", someTensors());
  const second = await Owner.listen({ socket, orStandby: true });
  expect(second).not.toBeInstanceOf(Owner);
  if (second instanceof Owner) return;
  await kill(mortal.child);
  const owner = watchOwner(await second.owner);
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({ number: 1 });
});

test("without an owner there is nothing to stand by for", async () => {
  await expect(Owner.standby({ socket: "/tmp/cuda-ipc-nobody/owner.sock" })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_NO_OWNER",
  });
});

test("a worker's new lease is known to the standby before the worker is told of it", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const version = await mortal.load("set", someTensors());
  const { owner } = await standBy(socket);
  const { worker, key } = await startHolder("set", { socket });
  mortal.child.kill("SIGKILL");
  const taken = await owner;
  await counted(taken, version.id, 1);
  await taken.whenRecovered();
  expect(taken.current("set")!.holders).toMatchObject([{ pid: worker.pid, leases: 1 }]);
  await worker.call("release", key);
  await mortal.child.exited;
});
