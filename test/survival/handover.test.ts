// A running owner hands everything over to another process.
import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { Owner, ownerStatus } from "../../dist/lib/index.js";
import { startChild } from "../helpers/child.js";
import { watchOwner } from "../helpers/leaks.js";
import { someTensors } from "../helpers/sharing.js";
import { counted, kill, startHolder, startMortal } from "../helpers/survival.js";

test("no lease ends, nobody is refused, and the old owner ends clean", async () => {
  const old = await startMortal();
  const { socket } = old;
  const version = await old.load("set", someTensors());
  const { worker, key } = await startHolder("set", { socket });
  const second = await worker.call<number>("attach", "set", { socket });

  const owner = watchOwner(await Owner.takeOver({ socket }));
  await old.child.event("handedover");
  await worker.event("ownerfound");
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({ id: version.id, number: 1, refCount: 2, refCountExact: true });
  expect(await worker.call("computeChecksum", key)).toBe(version.checksum);
  expect(await old.child.finish()).toBe(0);

  const { worker: late, key: newest } = await startHolder("set", { socket });
  expect(await late.call("computeChecksum", newest)).toBe(version.checksum);
  await late.call("release", newest);
  await worker.call("release", second);
  await worker.call("release", key);
  await counted(owner, version.id, 0);
});

test("workers that attach all the while are all served", async () => {
  const old = await startMortal();
  const { socket } = old;
  const version = await old.load("set", someTensors());
  const workers = await Promise.all(Array.from({ length: 3 }, () => startHolder("set", { socket })));
  let going = true;
  const attaching = workers.map(async ({ worker }) => {
    let served = 0;
    while (going) {
      await worker.call("release", await worker.call<number>("attach", "set", { socket }));
      served++;
    }
    return served;
  });
  const owner = watchOwner(await Owner.takeOver({ socket }));
  await owner.whenRecovered();
  going = false;
  for (const served of await Promise.all(attaching)) expect(served).toBeGreaterThan(0);
  await counted(owner, version.id, 3);
  for (const { worker, key } of workers) await worker.call("release", key);
  expect(await old.child.finish()).toBe(0);
});

test("who asks for the status all the while, or comes to stand by, is answered", async () => {
  const old = await startMortal();
  const { socket } = old;
  const version = await old.load("set", someTensors());
  let going = true;
  const asking = Array.from({ length: 8 }, async () => {
    while (going) expect((await ownerStatus({ socket })).sets).toMatchObject([{ name: "set" }]);
  });
  const standingBy = async () => {
    while (going) await (await Owner.standby({ socket })).close();
  };
  const all = Promise.all([...asking, standingBy()]);
  let owner = startChild("owner.cjs");
  await owner.call("takeOver", { socket });
  await old.child.event("handedover");
  expect(await old.child.finish()).toBe(0);
  for (let n = 0; n < 2; n++) {
    const before = owner;
    owner = startChild("owner.cjs");
    await owner.call("takeOver", { socket });
    await before.event("handedover");
    expect(await before.finish()).toBe(0);
  }
  going = false;
  await all;
  expect(await owner.call("versions")).toMatchObject([{ id: version.id }]);
});

test("it is refused while an ipc version lives, and the owner goes on", async () => {
  const old = await startMortal();
  const { socket } = old;
  await old.load("shared", someTensors());
  await old.load("exported", someTensors(), { sharing: "ipc" });
  await expect(Owner.takeOver({ socket })).rejects.toMatchObject({ code: "ERR_CUDA_IPC_HANDOVER_IPC" });
  const { worker, key } = await startHolder("shared", { socket });
  await worker.call("release", key);
  await old.child.call("retire", "exported");
  const owner = watchOwner(await Owner.takeOver({ socket }));
  await owner.whenRecovered();
  expect(owner.current("shared")).toMatchObject({ number: 1 });
  expect(owner.current("exported")).toBeUndefined();
});

test("a successor that dies half way leaves the owner as it was", async () => {
  const old = await startMortal();
  const { socket } = old;
  const version = await old.load("set", someTensors());
  const { worker, key } = await startHolder("set", { socket });
  const successor = startChild("owner.cjs");
  // Takes what is handed over, and never says that it listens.
  await successor.call("receiveOnly", { socket });
  await kill(successor);
  const { worker: late, key: newest } = await startHolder("set", { socket });
  expect((await old.child.call<{ refCount: number }>("version", version.id)).refCount).toBe(2);
  await late.call("release", newest);
  await worker.call("release", key);
  await old.child.call("waitForRefCount", version.id, 0);
});

test("a set that was loaded before goes on counting its versions", async () => {
  const old = await startMortal();
  await old.load("set", someTensors(1));
  await old.load("set", someTensors(2));
  const owner = watchOwner(await Owner.takeOver({ socket: old.socket }));
  await owner.whenRecovered();
  expect((await owner.load("set", someTensors(3))).number).toBe(3);
  expect(await old.child.finish()).toBe(0);
  expect(readdirSync(`${old.socket}/..`.replace("/owner.sock/..", "")).sort()).toEqual([
    "owner.sock",
    "owner.sock.journal",
    "owner.sock.lock",
  ]);
});
