// Hand-overs in the middle of which somebody dies, goes away, or cannot go on.
import { mkdirSync, rmdirSync, rmSync } from "node:fs";
import { expect, onTestFinished, test, vi } from "vitest";
import { Owner } from "../../dist/lib/index.js";
import { native } from "../../dist/lib/native.js";
import { receiveHandover } from "../../dist/lib/sharing/handover-receive.js";
import { ClientConnection } from "../../dist/lib/wire/client.js";
import { startChild } from "../helpers/child.js";
import { inspect } from "../helpers/inspect.js";
import { watchOwner } from "../helpers/leaks.js";
import { expectMemoryBack, freeMemory } from "../helpers/memory.js";
import { block, MIB, someTensors, startOwner, startWorker } from "../helpers/sharing.js";
import {
  counted,
  kill,
  rawClient,
  startHolder,
  startMortal,
  startSuccessor,
  stopped,
} from "../helpers/survival.js";
import { loaderOf } from "../loading/loaders.js";

test("the giver dies, its standby takes over, and the successor takes over from that one", async () => {
  const old = await startMortal();
  const { socket } = old;
  const version = await old.load("set", someTensors());
  const standby = startChild("owner.cjs");
  await standby.call("standby", { socket });
  await kill(old.child);
  await standby.event("takenover");
  await standby.call("whenRecovered");
  const successor = startChild("owner.cjs");
  await successor.call("takeOver", { socket });

  // It has been everything, and stands by no more: another one has to, and is let in at once.
  await standby.event("handedover");
  const next = await Owner.standby({ socket });
  expect(await standby.finish()).toBe(0);
  await kill(successor);
  const owner = watchOwner(await next.owner);
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({ id: version.id, checksum: version.checksum });
});

test("a successor that ends before the old owner has let go grants nothing, and takes nothing along", async () => {
  const old = await startMortal();
  const { socket } = old;
  const version = await old.load("set", someTensors());
  const { worker, key } = await startHolder("set", { socket });
  const fresh = await startWorker();
  const successor = startChild("owner.cjs");
  await successor.call("takeOverInVain", { socket });
  await successor.event("ready");
  const attaching = fresh.call<number>("attach", "set", { socket });
  await fresh.event("connected");
  const asking = await rawClient(socket);
  successor.mayDie = true;
  void successor.call("exit").catch(() => {});
  await successor.exited;
  expect((await asking.welcome).owner.pid).toBe(old.child.pid);
  asking.close();

  // The old one goes on where it was: on that socket, with everybody's leases.
  const late = await attaching;
  expect(await old.child.call("version", version.id)).toMatchObject({
    refCount: 2,
    holders: [{ pid: worker.pid }, { pid: fresh.pid }],
  });
  await fresh.call("release", late);
  await worker.call("release", key);
  await old.child.call("waitForRefCount", version.id, 0);
});

test("a successor that is stopped when it has everything holds nobody up for good, and takes nothing over", async () => {
  const old = await startMortal(undefined, { handoverTimeout: 3000 });
  const { socket } = old;
  const version = await old.load("set", someTensors());
  const { worker, key } = await startHolder("set", { socket });
  const successor = startChild("owner.cjs");
  const taking = successor.call("takeOverAndStop", { socket });
  taking.catch(() => {});
  await successor.event("ready");
  await stopped(successor);
  expect(await old.child.event("peererror")).toBe("ERR_CUDA_IPC_HANDOVER_TIMEOUT");
  const late = await worker.call<number>("attach", "set", { socket });
  const second = await old.load("other", someTensors(2));

  successor.resume();
  await expect(taking).rejects.toMatchObject({ code: "ERR_CUDA_IPC_HANDOVER_TIMEOUT" });
  expect(await successor.finish()).toBe(0);
  const { worker: fresh, key: newest } = await startHolder("other", { socket });
  expect((await old.child.call<{ refCount: number }>("version", version.id)).refCount).toBe(2);

  // And the journal is the old owner's: the next one knows all that it has done since.
  await kill(old.child);
  const { owner, lost, refused } = await startSuccessor(socket);
  await owner.whenRecovered();
  expect([lost, refused]).toEqual([[], []]);
  expect(owner.current("set")).toMatchObject({ id: version.id, refCount: 2 });
  expect(owner.current("other")).toMatchObject({ id: second.id, refCount: 1 });
  for (const lease of [key, late]) await worker.call("release", lease);
  await fresh.call("release", newest);
  await counted(owner, version.id, 0);
});

test("a successor whose connection ends without an answer acts only if the old owner is dead", async () => {
  const owner = await startOwner();
  const handover = await receiveHandover(owner.socket, { dying: 50 });
  const { sessions } = Reflect.get(owner, "server") as unknown as {
    sessions: Map<number, { connection: { close(): void } }>;
  };
  for (const { connection } of sessions.values()) connection.close();
  await expect(handover.taken()).rejects.toMatchObject({ code: "ERR_CUDA_IPC_CONNECTION_LOST" });
  handover.giveUp();
  expect(await owner.load("set", someTensors())).toMatchObject({ number: 1 });

  const old = await startMortal();
  const other = await receiveHandover(old.socket);
  await kill(old.child);
  await other.taken();
  other.giveUp();
});

test("a successor that goes away while a load is awaited leaves an owner that can load", async () => {
  const owner = await startOwner();
  const loading = owner.load("set", someTensors(1));
  const loader = await loaderOf();
  process.kill(loader, "SIGSTOP");
  const successor = await rawClient(owner.socket);
  const handover = successor.request("handover", {});
  handover.catch(() => {});
  await expect(successor.request("handover", {})).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_HANDOVER_RUNNING",
  });
  successor.close();
  await expect(handover).rejects.toMatchObject({ code: "ERR_CUDA_IPC_CONNECTION_LOST" });
  process.kill(loader, "SIGCONT");
  await loading;
  const next = () => owner.load("set", someTensors(2)).catch(({ code }) => code as string);
  const version = await inspect.watchFor(next, (loaded) => loaded !== "ERR_CUDA_IPC_HANDED_OVER");
  expect(version).toMatchObject({ number: 2 });
});

test("an ipc version that is published while it was awaited refuses it, and the owner goes on", async () => {
  const owner = await startOwner();
  const loading = owner.load("exported", { block: new Uint8Array(32 * MIB) }, { sharing: "ipc" });
  await expect(Owner.takeOver({ socket: owner.socket })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_HANDOVER_IPC",
  });
  await loading;
  expect(await owner.load("set", someTensors())).toMatchObject({ number: 1 });
});

test("a successor that cannot write its journal leaves the old owner as it was", async () => {
  const old = await startMortal();
  const { socket } = old;
  const version = await old.load("set", someTensors());
  const blocks = [`${socket}.journal.new`, `${socket}.journal.next`];
  for (const block of blocks) mkdirSync(block);
  await expect(Owner.takeOver({ socket })).rejects.toMatchObject({ code: "ERR_CUDA_IPC_JOURNAL" });
  // Nor can it. That is told, and ends nothing.
  expect(await old.child.event("error")).toBe("ERR_CUDA_IPC_JOURNAL");
  for (const block of blocks) rmdirSync(block);
  const owner = watchOwner(await Owner.takeOver({ socket }));
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({ id: version.id });
  await old.child.event("handedover");
  expect(await old.child.finish()).toBe(0);
});

test("a standby that cannot take over at first has everything when it can", async () => {
  const old = await startMortal();
  const { socket } = old;
  const version = await old.load("set", someTensors());
  const standby = await Owner.standby({ socket });
  // A folder stands where its journal would be.
  const journal = `${socket}.journal`;
  rmSync(journal);
  mkdirSync(journal);
  const refused = new Promise((resolve) => standby.once("error", resolve));
  await kill(old.child);
  expect(await refused).toMatchObject({ code: "ERR_CUDA_IPC_JOURNAL" });
  expect(standby.versions).toBe(1);
  rmdirSync(journal);
  const owner = watchOwner(await standby.owner);
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({ id: version.id });
  const { worker, key } = await startHolder("set", { socket });
  expect(await worker.call("computeChecksum", key)).toBe(version.checksum);
  await worker.call("release", key);
  await counted(owner, version.id, 0);
});

test("a successor that is refused when it has everything keeps no memory", async () => {
  const before = await freeMemory();
  const old = await startMortal();
  const { socket } = old;
  const version = await old.load("set", block(8 * MIB));
  const { request } = ClientConnection.prototype;
  const refusing = vi.spyOn(ClientConnection.prototype, "request").mockImplementation(function (
    this: ClientConnection,
    ...args
  ) {
    if (args[0] === "handoverTaken") return Promise.reject(new Error("refused"));
    return request.apply(this, args) as never;
  });
  // The collector may take its time.
  const shelves: object[] = [];
  const { createShelf } = native;
  const keeping = vi.spyOn(native, "createShelf").mockImplementation((uids) => {
    const shelf = createShelf(uids);
    shelves.push(shelf);
    return shelf;
  });
  onTestFinished(() => {
    refusing.mockRestore();
    keeping.mockRestore();
  });
  await expect(Owner.takeOver({ socket })).rejects.toThrow("refused");
  // Who connects is served again when the old owner has gone on.
  const asking = await rawClient(socket);
  await asking.welcome;
  asking.close();
  await old.child.call("retire", "set");
  await old.child.call("waitForFreed", version.id);
  await expectMemoryBack(before);
  expect(shelves).toHaveLength(1);
});
