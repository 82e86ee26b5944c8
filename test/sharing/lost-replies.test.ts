// A lease that was granted but whose reply was lost, or that nobody waits for any more, is returned.
import { describe, expect, test } from "vitest";
import { startChild } from "../helpers/child.js";
import { startRelay } from "../helpers/relay.js";
import { folder, sharings, someTensors, startOwner, startWorker } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

describe.each(sharings)("%s", (sharing) => {
  async function ownerProcess() {
    const owner = startChild("owner.cjs");
    const socket = newSocket(folder);
    await owner.call("warmUp");
    await owner.call("listen", { socket });
    const { id } = await owner.call<{ id: string }>("load", "llm", someTensors(), { sharing });
    return { owner, socket, version: id };
  }

  test("an attach that times out while the owner is stopped", async () => {
    const { owner, socket, version } = await ownerProcess();
    const worker = await startWorker();
    owner.stop();
    await expect(worker.call("attach", "llm", { socket, timeout: 200 })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_TIMEOUT",
    });
    owner.resume();
    // The owner grants it now, in the order in which it was asked: this attach comes after.
    const key = await worker.call<number>("attach", "llm", { socket });
    await owner.call("waitForRefCount", version, 1);
    await worker.call("release", key);
    await owner.call("waitForRefCount", version, 0);
  });

  test("and nobody attaches again", async () => {
    const { owner, socket, version } = await ownerProcess();
    const worker = await startWorker();
    owner.stop();
    await expect(worker.call("attach", "llm", { socket, timeout: 200 })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_TIMEOUT",
    });
    owner.resume();
    await owner.call("retire", "llm");
    await owner.call("waitForFreed", version);
    expect(await worker.call("mappings")).toEqual({ mappings: 0, references: 0 });
  });

  test("and its process may end before the owner goes on", async () => {
    const { owner, socket, version } = await ownerProcess();
    const worker = await startWorker();
    owner.stop();
    await expect(worker.call("attach", "llm", { socket, timeout: 200 })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_TIMEOUT",
    });
    expect(await worker.finish()).toBe(0);
    owner.resume();
    await owner.call("waitForRefCount", version, 0);
  });

  test("an attach that is aborted while another lease is held", async () => {
    const { owner, socket, version } = await ownerProcess();
    const worker = await startWorker();
    await worker.call("attach", "llm", { socket });
    owner.stop();
    await expect(worker.call("attach", "llm", { socket, timeout: 200 })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_TIMEOUT",
    });
    await expect(worker.call("abortedAttach", "llm", { socket })).rejects.toMatchObject({ code: "ENOUGH" });
    owner.resume();
    await owner.call("waitForRefCount", version, 1);
    expect(await worker.call("mappings")).toEqual({ mappings: 1, references: 1 });
  });

  test("an attach that is aborted at once", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const worker = await startWorker();
    const { socket } = owner;
    await expect(worker.call("abortedAttach", "llm", { socket })).rejects.toMatchObject({ code: "ENOUGH" });
    await version.waitForRefCount((count) => count === 0);
    expect(await worker.call("mappings")).toEqual({ mappings: 0, references: 0 });
  });

  test("an attach that is aborted when it has been granted", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const worker = await startWorker();
    const attaching = worker.call("attachHeldBack", "llm", { socket: owner.socket });
    const rejected = expect(attaching).rejects.toMatchObject({ code: "ENOUGH" });
    await worker.event("mapping");
    // It maps what has come ahead before that is counted.
    await version.waitForRefCount((count) => count === 1);
    await worker.call("abort");
    await rejected;
    await version.waitForRefCount((count) => count === 0);
    expect(await worker.call("mappings")).toEqual({ mappings: 0, references: 0 });
  });

  test("a connection that ends anywhere in the owner's answer", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const worker = await startWorker();
    const socket = newSocket(folder);
    const whole = Number.POSITIVE_INFINITY;
    let cut = whole;
    const relay = startRelay(socket, owner.socket, () => {
      const limit = cut;
      cut = whole;
      return limit;
    });
    for (let bytes = 1, inOnePiece = false; !inOnePiece; ) {
      const { cuts } = relay;
      cut = bytes;
      await worker.call("attachThenRelease", "llm", { socket, timeout: 10_000 });
      await worker.call("disconnect");
      // Unless the connection before was needed still, and served for this one, too.
      if (cut === bytes) continue;
      inOnePiece = relay.cuts === cuts;
      bytes += 29;
    }
    expect(relay.cuts).toBeGreaterThan(20);
    await version.waitForRefCount((count) => count === 0);
    expect(await worker.call("mappings")).toEqual({ mappings: 0, references: 0 });
    relay.close();
  });

  test("a peer that asks and hangs up before the answer", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const peer = startChild("peer.cjs");
    await peer.call("connect", owner.socket, { deaf: true });
    await peer.call("hello");
    const lease = await peer.call<string>("requestAttach", "llm");
    const granted = version.waitForRefCount((count) => count === 1);
    await peer.call("disconnect");
    await granted;
    if (sharing === "ipc") {
      // Still counted, because a closed connection is not a dead process: it is returned by its id.
      await peer.call("connect", owner.socket);
      await peer.call("hello");
      await peer.call("release", [lease]);
    }
    await version.waitForRefCount((count) => count === 0);
  });
});
