// What the next owner accepts as the memory of a version, and what it does not.
import { openSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, expect, test } from "vitest";
import { type NativeFd, native } from "../../dist/lib/native.js";
import { TensorList } from "../../dist/lib/sharing/tensor-list.js";
import type { ClientConnection } from "../../dist/lib/wire/client.js";
import { packTensors } from "../../dist/lib/wire/manifest.js";
import type { ReplyMessage } from "../../dist/lib/wire/messages.js";
import type { TensorColumns } from "../../dist/lib/wire/values.js";
import { folder, MIB, someTensors, startWorker } from "../helpers/sharing.js";
import {
  counted,
  kill,
  rawClient,
  startHolder,
  startMortal,
  startSuccessor,
  stop,
} from "../helpers/survival.js";

const open: { close(): void }[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

/** Attaches without holding anything: what is known of a version, and its memory. */
async function snoop(socket: string, set: string) {
  const line = await rawClient(socket);
  const lease = "c".repeat(32);
  const { message, memory } = await line.request("attach", {
    ...{ set, version: null, checksum: null, access: "read", lease },
  });
  const sizes = message.slabs.map(({ bytes }) => bytes);
  const tensors = packTensors(new TensorList(native.openManifest(memory!.manifest, sizes)).all());
  memory!.manifest.close();
  await line.request("release", { leases: [lease] });
  line.close();
  open.push(...memory!.fds);
  return { message: { ...message, tensors }, fds: [...memory!.fds] };
}

type Seen = ReplyMessage<"attach"> & { tensors: TensorColumns };
const offerOf = ({ version, slabs, tensors }: Seen) => ({
  version: { ...version, tensors },
  slabs,
  leases: [] as string[],
});

async function offer(line: ClientConnection, body: ReturnType<typeof offerOf>, fds: NativeFd[]) {
  return (await line.request("offer", body, { fds })).message;
}

/** Memory of the version's size and other content. */
async function otherMemory(bytes: number): Promise<NativeFd> {
  const slab = await native.createSlab({ id: Buffer.alloc(16, 7), device: 0, bytes, sharing: "vmm" });
  await native.memset(0, slab.devicePointer, 1, 1, bytes);
  const fd = slab.exportFd();
  await slab.close();
  open.push(fd);
  return fd;
}

test("forged and stale offers are refused and told of, and the right one is accepted after them", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const { id } = await mortal.load("set", someTensors());
  const stale = await snoop(socket, "set");
  await mortal.load("other", someTensors(2));
  const other = await snoop(socket, "other");
  const { worker } = await startHolder("set", { socket });
  await worker.call("attach", "other", { socket });
  await stop(worker);
  await kill(mortal.child);

  const { owner, refused } = await startSuccessor(socket);
  const line = await rawClient(socket);
  open.push(line);
  expect(await line.welcome).toMatchObject({ recovering: true, wanted: expect.arrayContaining([id]) });
  const right = offerOf(stale.message);
  const [fd] = stale.fds;
  const slab = right.slabs[0]!;
  const wrong = { ...right.version.tensors, offsets: right.version.tensors.offsets.map((at) => at + 256) };
  const uneven = { ...right.version.tensors, offsets: [] };
  const forged: [string, ReturnType<typeof offerOf>, NativeFd[]][] = [
    ["an unknown version", { ...right, version: { ...right.version, id: "d".repeat(32) } }, [fd!]],
    ["another set", { ...right, version: { ...right.version, set: "other" } }, [fd!]],
    ["another number", { ...right, version: { ...right.version, number: 7 } }, [fd!]],
    ["another slab", { ...right, slabs: [{ ...slab, id: "e".repeat(32) }] }, [fd!]],
    ["another device", { ...right, slabs: [{ ...slab, device: "GPU-0" }] }, [fd!]],
    ["another size", { ...right, slabs: [{ ...slab, bytes: 2 * slab.bytes }] }, [fd!]],
    ["another manifest", { ...right, version: { ...right.version, tensors: wrong } }, [fd!]],
    ["a broken manifest", { ...right, version: { ...right.version, tensors: uneven } }, [fd!]],
    ["no memory", right, []],
    ["too much memory", right, [fd!, fd!]],
    ["more slabs", { ...right, slabs: [slab, slab] }, [fd!, fd!]],
    ["the slabs of another version", { ...right, slabs: other.message.slabs }, other.fds],
  ];
  for (const [what, body, fds] of forged) {
    await expect(offer(line, body, fds), what).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_CUDA_IPC_(OFFER_REFUSED|PROTOCOL)$/),
    });
  }
  expect(refused).toHaveLength(forged.length);
  expect(owner.current("set")!.presence).toBe("awaited");

  // Behind the right ids: other memory of that size, memory of another size, no memory at all.
  const file = path.join(folder, "plain");
  writeFileSync(file, Buffer.alloc(2 * MIB));
  const plain = native.adoptFd(openSync(file, "r+"));
  open.push(plain);
  for (const wrong of [
    await otherMemory(slab.bytes),
    await otherMemory(4 * slab.bytes),
    plain,
    other.fds[0]!,
  ]) {
    const answer = await offer(line, right, [wrong]);
    expect(answer).toMatchObject({ accepted: false, kept: [], reason: expect.stringContaining("refused") });
  }
  expect(refused).toHaveLength(forged.length + 4);
  expect(refused.slice(forged.length).every((told) => told.startsWith("ERR_CUDA_IPC_OFFER_REFUSED"))).toBe(
    true,
  );
  expect(owner.recovering).toBe(true);

  worker.resume();
  const { restored } = await owner.whenRecovered();
  expect(restored).toHaveLength(2);
  expect(owner.current("set")).toMatchObject({ id, presence: "present", refCount: 1 });
  const late = await startWorker();
  const key = await late.call<number>("attach", "set", { socket });
  expect(await late.call("computeChecksum", key)).toBe(owner.current("set")!.checksum);
});

test("the leases of another process are not to be had by an offer", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const { id } = await mortal.load("set", someTensors());
  const { message, fds } = await snoop(socket, "set");
  const mine = await rawClient(socket);
  const lease = "f".repeat(32);
  const attached = await mine.request("attach", {
    ...{ set: "set", version: null, checksum: null, access: "read", lease },
  });
  open.push(mine, ...attached.fds);
  const { worker, key } = await startHolder("set", { socket });
  await kill(mortal.child);
  const { owner } = await startSuccessor(socket);
  const offered = await worker.call("offerRaw", socket, key, lease);
  expect(offered).toMatchObject({ code: "ERR_CUDA_IPC_LEASE_FOREIGN" });
  await counted(owner, id, 1);
  expect(owner.recovering).toBe(true);

  const line = await rawClient(socket);
  open.push(line);
  expect(await offer(line, { ...offerOf(message), leases: [lease] }, fds)).toMatchObject({
    accepted: true,
    kept: [lease],
  });
  await owner.whenRecovered();
  expect(owner.current("set")!.refCount).toBe(2);
  await line.request("release", { leases: [lease] });
});

test("one of many offers is looked at, the next one only when it was refused", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", someTensors());
  const { message, fds } = await snoop(socket, "set");
  const { worker } = await startHolder("set", { socket });
  await stop(worker);
  await kill(mortal.child);
  const { owner, refused } = await startSuccessor(socket);
  const line = await rawClient(socket);
  open.push(line);
  const body = offerOf(message);
  const wrong = await otherMemory(message.slabs[0]!.bytes);
  const answers = await Promise.all([[wrong], fds, [wrong], fds].map((each) => offer(line, body, each)));
  expect(answers.map(({ accepted }) => accepted)).toEqual([false, true, true, true]);
  expect(refused).toHaveLength(1);
  worker.resume();
  await owner.whenRecovered();
});

test("memory that was damaged is not published again, and its leases end", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", someTensors());
  const { fds } = await snoop(socket, "set");
  const { worker, key } = await startHolder("set", { socket });
  const memory = await native.importVmm(0, fds[0]!, 2 * MIB);
  await native.memset(0, await memory.map("readwrite"), 9, 1, 16);
  await memory.close(null);
  await kill(mortal.child);
  const { owner, lost, refused } = await startSuccessor(socket);
  await owner.whenRecovered();
  expect(lost).toEqual(["set 1"]);
  expect(refused).toMatchObject([expect.stringContaining("its content has the checksum")]);
  expect(owner.versions()).toEqual([]);
  expect(await worker.event("ownerfound")).toMatchObject({ detail: { kept: false } });
  expect(await worker.call("read", key, "bytes")).toHaveLength(300);
});

test("an owner that recovers nothing takes nothing", async () => {
  const mortal = await startMortal();
  await mortal.load("set", someTensors());
  const { message, fds } = await snoop(mortal.socket, "set");
  const { owner } = await startSuccessor(`${mortal.socket}.other`);
  const errors: string[] = [];
  owner.on("peererror", ({ code }) => errors.push(code));
  const line = await rawClient(owner.socket);
  open.push(line);
  await expect(offer(line, offerOf(message), fds)).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_OFFER_REFUSED",
  });
  expect(errors).toEqual(["ERR_CUDA_IPC_OFFER_REFUSED"]);
});

test("the content of a writable version may have changed, and comes back as it is", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const { id, checksum } = await mortal.load("set", someTensors(), { writable: true });
  const { worker, key } = await startHolder("set", { socket, access: "readwrite" });
  await worker.call("write", key, "bytes", Buffer.alloc(300, 5));
  await worker.call("lock", key, "mine");
  await kill(mortal.child);
  const { owner, refused } = await startSuccessor(socket);
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({ id, checksum, writable: true, refCount: 1 });
  expect(owner.locks()).toMatchObject([{ name: "mine", pid: worker.pid }]);
  const { worker: late, key: other } = await startHolder("set", { socket, access: "readwrite" });
  expect(await late.call("read", other, "bytes")).toEqual(Buffer.alloc(300, 5));
  await worker.call("write", key, "bytes", Buffer.alloc(300, 6));
  expect(await late.call("read", other, "bytes")).toEqual(Buffer.alloc(300, 6));
  expect(refused).toEqual([]);
});

test("a lock whose holder died meanwhile is free again", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", someTensors(), { writable: true });
  const { worker: dead, key } = await startHolder("set", { socket });
  await dead.call("lock", key, "counter");
  const { worker, key: other } = await startHolder("set", { socket });
  const { worker: stopped } = await startHolder("set", { socket });
  await stop(stopped);
  await kill(mortal.child);
  await kill(dead);
  const { owner } = await startSuccessor(socket);
  await worker.event("ownerfound");
  const locking = worker.call("lock", other, "counter");
  await counted(owner, owner.current("set")!.id, 1);
  expect(owner.locks()).toEqual([]);
  stopped.resume();
  await locking;
  expect(owner.recovering).toBe(false);
  expect(owner.locks()).toMatchObject([{ name: "counter", pid: worker.pid }]);
});
