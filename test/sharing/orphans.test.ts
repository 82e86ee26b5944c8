// A closed connection is not a dead process: what its leases are worth then.
import { describe, expect, test } from "vitest";
import { type Child, startChild } from "../helpers/child.js";
import { expectMemoryBack, expectMemoryUsed, freeMemory } from "../helpers/memory.js";
import { block, folder, MIB, someTensors, startOwner, startWorker } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

/** A peer process with one lease. */
async function attachedPeer(socket: string): Promise<{ peer: Child; lease: string }> {
  const peer = startChild("peer.cjs");
  await peer.call("connect", socket);
  await peer.call("hello");
  expect(await peer.call("next")).toMatchObject({ type: "welcome" });
  const lease = await peer.call<string>("requestAttach", "llm");
  expect(await peer.call("next")).toMatchObject({ type: "attached", lease });
  return { peer, lease };
}

async function reconnect(peer: Child, socket: string): Promise<void> {
  await peer.call("connect", socket);
  await peer.call("hello");
  expect(await peer.call("next")).toMatchObject({ type: "welcome" });
}

describe("ipc", () => {
  test("a lease whose connection has ended is still counted, and its memory is not freed", async () => {
    const before = await freeMemory();
    const owner = await startOwner();
    const version = await owner.load("llm", block(8 * MIB), { sharing: "ipc" });
    const { peer } = await attachedPeer(owner.socket);
    await peer.call("disconnect");
    await reconnect(peer, owner.socket);
    expect(version.refCount).toBe(1);
    expect(version.holders).toMatchObject([{ pid: peer.pid, leases: 1 }]);
    await owner.retire("llm");
    expect(version.state).toBe("retired");
    await expectMemoryUsed(before, 8 * MIB);
    peer.kill("SIGKILL");
    await version.whenFreed();
    await expectMemoryBack(before);
  });

  test("its process takes it back by its id, over a new connection", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing: "ipc" });
    const { peer, lease } = await attachedPeer(owner.socket);
    await peer.call("disconnect");
    await reconnect(peer, owner.socket);
    await peer.call("reclaim", [lease]);
    // First what it may have missed of the version meanwhile.
    expect(await peer.call("next")).toMatchObject({ type: "reinstated" });
    expect(await peer.call("next")).toMatchObject({ type: "reclaimed", kept: [lease] });
    expect(version.refCount).toBe(1);
    await peer.call("release", [lease]);
    expect(await peer.call("next")).toMatchObject({ type: "released", ended: 1 });
    expect(version.refCount).toBe(0);
  });

  test("no other process takes it, or ends it", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing: "ipc" });
    const { peer, lease } = await attachedPeer(owner.socket);
    await peer.call("disconnect");
    const thief = startChild("peer.cjs");
    await reconnect(thief, owner.socket);
    for (const command of ["reclaim", "release"]) {
      await thief.call(command, [lease]);
      expect(await thief.call("next")).toMatchObject({ type: "error", code: "ERR_CUDA_IPC_LEASE_FOREIGN" });
    }
    expect(version.holders).toMatchObject([{ pid: peer.pid, leases: 1 }]);
  });

  test("a peer that breaks the protocol is disconnected, and counted until it dies", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing: "ipc" });
    const { peer } = await attachedPeer(owner.socket);
    await peer.call("send", Buffer.alloc(64, 0xff));
    expect(await peer.call("rest")).toMatchObject([{ type: "error", code: "ERR_CUDA_IPC_PROTOCOL" }]);
    expect(version.refCount).toBe(1);
    peer.kill("SIGKILL");
    await version.waitForRefCount((count) => count === 0);
  });
});

describe("vmm", () => {
  test("a lease ends with its connection: the process's own mapping keeps the memory", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing: "vmm" });
    const { peer } = await attachedPeer(owner.socket);
    await peer.call("disconnect");
    await version.waitForRefCount((count) => count === 0);
  });

  test("memory that such a process may still map reads as released until it says otherwise", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing: "vmm" });
    const { peer, lease } = await attachedPeer(owner.socket);
    await peer.call("disconnect");
    await version.waitForRefCount((count) => count === 0);
    await owner.retire("llm");
    expect(version.state).toBe("released");
    await reconnect(peer, owner.socket);
    await peer.call("release", [lease]);
    await version.whenFreed();
  });

  test("or is dead", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing: "vmm" });
    const { peer } = await attachedPeer(owner.socket);
    await peer.call("disconnect");
    await version.waitForRefCount((count) => count === 0);
    await owner.retire("llm");
    expect(version.state).toBe("released");
    peer.kill("SIGKILL");
    await version.whenFreed();
  });
});

describe.each(["vmm", "ipc"] as const)("%s: a worker whose connection breaks", (sharing) => {
  test("reconnects by itself and has its leases counted again", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const worker = await startWorker();
    const key = await worker.call<number>("attach", "llm", { socket: owner.socket });
    const second = await worker.call<number>("retain", key);
    // The same as if the network between them were cut: neither side has asked for it.
    await worker.call("breakConnection");
    expect(await worker.event("ownerlost")).toMatchObject({ key });
    await owner.load("other", someTensors());
    await worker.call("release", second);
    await version.waitForRefCount((count) => count === 1);
    expect(await worker.call("refCount", key)).toEqual({ count: 1, exact: true });
    expect(await worker.call("computeChecksum", key)).toBe(version.checksum);
  });

  test("while it maps what it was given, is counted all the same", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const worker = await startWorker();
    const attaching = worker.call<number>("attachHeldBack", "llm", { socket: owner.socket });
    await worker.event("mapping");
    // What has come ahead is mapped before that is counted, and before the grant is read.
    await version.waitForRefCount((count) => count === 1);
    await worker.call("mappings");
    const closed = sharing === "vmm" ? version.waitForRefCount((count) => count === 0) : undefined;
    await worker.call("breakConnection");
    await closed;
    await version.waitForRefCount((count) => count === 1);
    await worker.call("proceed");
    const key = await attaching;
    expect(version.refCount).toBe(1);
    expect(await worker.call("computeChecksum", key)).toBe(version.checksum);
  });

  test("may end while its owner does not answer", async () => {
    const owner = startChild("owner.cjs");
    const socket = newSocket(folder);
    await owner.call("warmUp");
    await owner.call("listen", { socket });
    const { id } = await owner.call<{ id: string }>("load", "llm", someTensors(), { sharing });
    const worker = await startWorker();
    await worker.call("attach", "llm", { socket });
    await worker.event("connected");
    owner.stop();
    await worker.call("breakConnection");
    await worker.event("connected");
    expect(await worker.finish()).toBe(0);
    owner.resume();
    await owner.call("waitForRefCount", id, 0);
  });
});
