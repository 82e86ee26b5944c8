// `ipc` memory that has gone ahead is not freed before whoever may have it open has let go of it.
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { attach, CudaIpcError, type Owner, type Version } from "../../dist/lib/index.js";
import { native } from "../../dist/lib/native.js";
import { Granting } from "../../dist/lib/sharing/granting.js";
import { Loans } from "../../dist/lib/sharing/loans.js";
import { OwnerServer } from "../../dist/lib/sharing/owner-server.js";
import { ProcessWatches } from "../../dist/lib/sharing/process-watches.js";
import { Connection } from "../../dist/lib/wire/connection.js";
import { type Child, startChild } from "../helpers/child.js";
import { coded } from "../helpers/errors.js";
import { beforeGrant, leaveUnanswered } from "../helpers/granting.js";
import { hostMachine, startHostOwner, startHostWorker } from "../helpers/host.js";
import { inspect } from "../helpers/inspect.js";
import { manifestFiles } from "../helpers/manifest-files.js";
import { expectMemoryBack, expectMemoryUsed, freeMemory } from "../helpers/memory.js";
import { block, folder, MIB, someTensors, startOwner, startWorker } from "../helpers/sharing.js";

/** Who the owner thinks has anything on loan. */
const borrowers = (owner: Owner) =>
  (Reflect.get(owner, "server") as { loans: { borrowers: Map<string, object> } }).loans.borrowers.size;

const nothing = { mappings: 0, references: 0 };
const newLease = () => randomBytes(16).toString("hex");
const ipc = { sharing: "ipc" as const };

async function connect(peer: Child, owner: Owner): Promise<Child> {
  await peer.call("connect", owner.socket);
  await peer.call("hello");
  expect(await peer.call("next")).toMatchObject({ type: "welcome" });
  return peer;
}

const connectedPeer = (owner: Owner) => connect(startChild("peer.cjs"), owner);

/** A process that was sent the current version ahead, and then refused. */
async function borrower(owner: Owner): Promise<{ peer: Child; lease: string }> {
  const peer = await connectedPeer(owner);
  const lease = newLease();
  await peer.call("requestAttach", "llm", lease, { ahead: true, access: "readwrite" });
  await expectAhead(peer);
  expect(await peer.call("next")).toMatchObject({ code: "ERR_CUDA_IPC_NOT_WRITABLE" });
  return { peer, lease };
}

async function expectAhead(peer: Child): Promise<void> {
  expect(await peer.call("next")).toMatchObject({ type: "ahead" });
}

async function giveBack(peer: Child, lease: string): Promise<void> {
  await peer.call("release", [lease]);
  let message: { type: string };
  do message = await peer.call("next");
  while (message.type === "closing" || message.type === "retired");
  expect(message).toMatchObject({ type: "released" });
}

/** Whether it has come to that by the end of whatever the owner has to do already. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = {};
  const turns = (async () => {
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    return pending;
  })();
  return (await Promise.race([promise, turns])) !== pending;
}

/** The version is withdrawn, and not freed. */
async function retireBorrowed(owner: Owner, version: Version): Promise<{ freed: Promise<void> }> {
  await owner.retire("llm");
  expect(version.state).toBe("released");
  expect(version.refCount).toBe(0);
  const freed = version.whenFreed();
  expect(await isSettled(freed)).toBe(false);
  return { freed };
}

test("whoever asks for a version that is on its way leaves no list of its tensors open", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors(), ipc);
  const { peer, lease } = await borrower(owner);
  expect(manifestFiles()).toBe(1);
  const { freed } = await retireBorrowed(owner, version);
  await peer.call("requestAttach", "llm", newLease(), { version: version.id });
  let message: { type: string };
  do message = await peer.call("next");
  while (message.type === "closing" || message.type === "retired");
  expect(message).toMatchObject({ code: "ERR_CUDA_IPC_NO_VERSION" });
  await giveBack(peer, lease);
  await freed;
  expect(manifestFiles()).toBe(0);
});

describe("a version that was withdrawn before the owner looked at the request for it is freed", () => {
  async function withdrawnAhead() {
    const before = await freeMemory();
    const owner = await startOwner();
    const version = await owner.load("llm", block(8 * MIB), ipc);
    const peer = await connectedPeer(owner);
    let freed: Promise<void> | undefined;
    let retired: Promise<void> | undefined;
    beforeGrant(() => {
      retired = owner.retire("llm");
      freed = version.whenFreed();
    });
    const lease = newLease();
    await peer.call("requestAttach", "llm", lease, { ahead: true });
    await expectAhead(peer);
    expect(await peer.call("next")).toMatchObject({ type: "error", code: "ERR_CUDA_IPC_NO_SET" });
    await retired;
    expect(await isSettled(freed!)).toBe(false);
    await expectMemoryUsed(before, 8 * MIB);
    return { before, owner, peer, lease, freed: freed! };
  }

  test("when its process has closed it", async () => {
    const { before, peer, lease, freed } = await withdrawnAhead();
    await giveBack(peer, lease);
    await freed;
    await expectMemoryBack(before);
  });

  test("when its process is dead", async () => {
    const { before, owner, peer, freed } = await withdrawnAhead();
    expect(borrowers(owner)).toBe(1);
    peer.kill("SIGKILL");
    await freed;
    await expectMemoryBack(before);
    await inspect.watchFor(
      async () => borrowers(owner),
      (count) => count === 0,
    );
    expect(borrowers(owner)).toBe(0);
  });

  test("when its process is dead, and not when its connection has ended", async () => {
    const { before, owner, peer, freed } = await withdrawnAhead();
    await peer.call("disconnect");
    peer.stop();
    // Behind the end of that connection.
    await connectedPeer(owner);
    expect(await isSettled(freed)).toBe(false);
    await expectMemoryUsed(before, 8 * MIB);
    peer.kill("SIGKILL");
    await freed;
    await expectMemoryBack(before);
  });

  test("when its process says so on another connection, and no other process can", async () => {
    const { owner, peer, lease, freed } = await withdrawnAhead();
    await peer.call("disconnect");
    await giveBack(await connectedPeer(owner), lease);
    expect(await isSettled(freed)).toBe(false);
    await connect(peer, owner);
    await giveBack(peer, newLease());
    expect(await isSettled(freed)).toBe(false);
    await giveBack(peer, lease);
    await freed;
  });

  test("when whoever held it in that process is gone", async () => {
    const { peer, freed } = await withdrawnAhead();
    await peer.call("sendMessage", { type: "farewell" });
    await freed;
  });
});

test("a version that was replaced meanwhile is kept until the lease of the other one is released", async () => {
  const owner = await startOwner();
  const first = await owner.load("llm", someTensors(), { ...ipc, pinned: true });
  const second = await owner.load("llm", someTensors(2), ipc);
  const peer = await connectedPeer(owner);
  beforeGrant(() => void owner.rollback("llm", first.id));
  const lease = newLease();
  await peer.call("requestAttach", "llm", lease, { ahead: true });
  await expectAhead(peer);
  expect(await peer.call("next")).toMatchObject({ type: "attached", version: { id: first.id } });
  expect(second.state).toBe("released");
  const freed = second.whenFreed();
  expect(await isSettled(freed)).toBe(false);
  await giveBack(peer, lease);
  await freed;
  first.unpin();
});

test("what is granted is no loan any more, and ends as any lease", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors(), ipc);
  const peer = await connectedPeer(owner);
  const lease = newLease();
  await peer.call("requestAttach", "llm", lease, { ahead: true });
  await expectAhead(peer);
  expect(await peer.call("next")).toMatchObject({ type: "attached", ahead: true });
  const loans = vi.spyOn(Loans.prototype, "released").mockImplementation(() => {});
  onTestFinished(() => loans.mockRestore());
  await giveBack(peer, lease);
  await owner.retire("llm");
  await version.whenFreed();
});

test("a grant that could not be told is kept until whoever has the loan releases it", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors(), ipc);
  const peer = await connectedPeer(owner);
  const { send } = Connection.prototype;
  const failing = vi.spyOn(Connection.prototype, "send").mockImplementation(function (
    this: Connection,
    ...args
  ) {
    if (args[0].type !== "attached") return send.apply(this, args);
    failing.mockRestore();
    throw new Error("no room");
  });
  onTestFinished(() => failing.mockRestore());
  const lease = newLease();
  await peer.call("requestAttach", "llm", lease, { ahead: true });
  await expectAhead(peer);
  expect(await peer.call("next")).toMatchObject({ type: "error", code: "ERR_CUDA_IPC_INTERNAL" });
  await owner.retire("llm");
  expect(version.refCount).toBe(1);
  await giveBack(peer, lease);
  await version.whenFreed();
});

test("a process that has too many is not told apart: its version is kept until it is dead", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors(), ipc);
  const peer = await connectedPeer(owner);
  const [told, ofOneConnection] = [64, 16];
  const leases = Array.from({ length: told + 2 }, newLease);
  const refused = { code: "ERR_CUDA_IPC_NOT_WRITABLE" };
  for (const [n, lease] of leases.entries()) {
    if (n > 0 && n % ofOneConnection === 0) {
      await peer.call("requestAttach", "llm", newLease(), { ahead: true, access: "readwrite" });
      expect(await peer.call("next")).toMatchObject(refused);
      await peer.call("disconnect");
      await connect(peer, owner);
    }
    await peer.call("requestAttach", "llm", lease, { ahead: true, access: "readwrite" });
    await expectAhead(peer);
    expect(await peer.call("next")).toMatchObject(refused);
  }
  const { freed } = await retireBorrowed(owner, version);
  await peer.call("release", leases);
  expect(await peer.call("next")).toMatchObject({ type: "released", ended: 0 });
  expect(await isSettled(freed)).toBe(false);
  peer.kill("SIGKILL");
  await freed;
});

describe("a request that is never read", () => {
  test("because it breaks the protocol: what has gone ahead of it is kept until its lease is released", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), ipc);
    const peer = await connectedPeer(owner);
    const lease = newLease();
    await peer.call("requestAttach", "llm", lease, { ahead: true, access: "anything" });
    expect(await peer.call("rest")).toMatchObject([
      { type: "ahead" },
      { type: "error", code: "ERR_CUDA_IPC_PROTOCOL" },
    ]);
    const { freed } = await retireBorrowed(owner, version);
    await connect(peer, owner);
    await giveBack(peer, lease);
    await freed;
  });

  /** A peer that has been sent the version ahead when the owner comes to look at who connects. */
  async function atTheDoor(owner: Owner): Promise<{ peer: Child; lease: string; open(): void }> {
    const { accept } = OwnerServer.prototype;
    const doors: (() => void)[] = [];
    const spy = vi.spyOn(OwnerServer.prototype, "accept").mockImplementation(function (
      this: OwnerServer,
      channel,
    ) {
      spy.mockRestore();
      doors.push(() => accept.call(this, channel));
    });
    onTestFinished(() => spy.mockRestore());
    const peer = startChild("peer.cjs");
    const lease = newLease();
    await peer.call("connect", owner.socket);
    await peer.call("hello");
    await peer.call("requestAttach", "llm", lease, { ahead: true });
    await expectAhead(peer);
    return { peer, lease, open: () => doors[0]!() };
  }

  test("because there are too many connections", async () => {
    const owner = await startOwner({ limits: { connections: 1 } });
    const version = await owner.load("llm", someTensors(), ipc);
    const first = await connectedPeer(owner);
    const { peer, lease, open } = await atTheDoor(owner);
    open();
    expect(await peer.call("rest")).toMatchObject([{ code: "ERR_CUDA_IPC_CONNECTION_LIMIT" }]);
    const { freed } = await retireBorrowed(owner, version);
    await first.call("disconnect");
    await connect(peer, owner);
    await giveBack(peer, lease);
    await freed;
  });

  test.each(["its process says so", "that is dead"])(
    "because nothing is left to know its process by: until %s",
    async (until) => {
      const owner = await startOwner();
      const version = await owner.load("llm", someTensors(), ipc);
      const { peer, lease, open } = await atTheDoor(owner);
      const shortage = new CudaIpcError("ERR_CUDA_IPC_FD_LIMIT", "no descriptor left");
      const identify = vi.spyOn(ProcessWatches.prototype, "identify").mockImplementation(() => {
        identify.mockRestore();
        throw shortage;
      });
      onTestFinished(() => identify.mockRestore());
      open();
      expect(await peer.call("rest")).toEqual([]);
      const { freed } = await retireBorrowed(owner, version);
      await giveBack(await connectedPeer(owner), lease);
      expect(await isSettled(freed)).toBe(false);
      if (until === "that is dead") peer.kill("SIGKILL");
      else await giveBack(await connect(peer, owner), lease);
      await freed;
      expect(borrowers(owner)).toBe(0);
    },
  );

  test("because the owner closes: it is refused, and waited for", async () => {
    const owner = await startOwner();
    await owner.load("llm", someTensors(), ipc);
    const { peer, lease, open } = await atTheDoor(owner);
    const closed = owner.close();
    expect(await isSettled(closed)).toBe(false);
    open();
    expect(await peer.call("next")).toMatchObject({ type: "welcome" });
    expect(await peer.call("next")).toMatchObject({ code: "ERR_CUDA_IPC_CLOSED" });
    await peer.call("release", [lease]);
    await closed;
  });
});

describe("an owner that closes", () => {
  test("waits for what is on loan", async () => {
    const owner = await startOwner();
    await owner.load("llm", someTensors(), ipc);
    const { peer, lease } = await borrower(owner);
    const closed = owner.close();
    expect(await isSettled(closed)).toBe(false);
    await peer.call("release", [lease]);
    await closed;
  });

  test("or refuses, and goes on", async () => {
    const owner = await startOwner();
    await owner.load("llm", someTensors(), ipc);
    const { peer, lease } = await borrower(owner);
    await expect(owner.close({ ipcLeases: "refuse" })).rejects.toThrow(coded("LEASES_HELD"));
    await giveBack(peer, lease);
    await owner.close({ ipcLeases: "refuse" });
  });

  test("lets in who has something to give back", async () => {
    const owner = await startOwner();
    await owner.load("llm", someTensors(), ipc);
    const { peer, lease } = await borrower(owner);
    await peer.call("disconnect");
    const closed = owner.close();
    expect(await isSettled(closed)).toBe(false);
    const other = startChild("peer.cjs");
    await other.call("connect", owner.socket);
    expect(await other.call("next")).toMatchObject({ type: "error", code: "ERR_CUDA_IPC_CLOSED" });
    await connect(peer, owner);
    await peer.call("requestAttach", "llm", newLease(), { ahead: true });
    expect(await peer.call("next")).toMatchObject({ type: "error", code: "ERR_CUDA_IPC_CLOSED" });
    await peer.call("release", [lease]);
    await closed;
  });

  test("gives up waiting when it is told to", async () => {
    const owner = await startOwner();
    await owner.load("llm", someTensors(), ipc);
    const { peer, lease } = await borrower(owner);
    const abort = new AbortController();
    const closed = owner.close({ signal: abort.signal });
    expect(await isSettled(closed)).toBe(false);
    abort.abort(new Error("enough"));
    await expect(closed).rejects.toThrow("enough");
    await giveBack(peer, lease);
  });
});

describe("a worker that is refused gives back what has come ahead", () => {
  test.each([
    ["it may not write", { access: "readwrite" }, "ERR_CUDA_IPC_NOT_WRITABLE"],
    ["the set is withdrawn", {}, "ERR_CUDA_IPC_NO_SET"],
  ])("because %s", async (_, options, code) => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), ipc);
    const worker = await startWorker();
    if (code.endsWith("NO_SET")) beforeGrant(() => void owner.retire("llm"));
    const attaching = worker.call("attach", "llm", { socket: owner.socket, ...options });
    await expect(attaching).rejects.toMatchObject({ code });
    if (!code.endsWith("NO_SET")) await owner.retire("llm");
    await version.whenFreed();
    expect(await worker.call("mappings")).toEqual(nothing);
  });

  test("and not while it is being opened still", async () => {
    const slowMs = 1000;
    const machine = hostMachine();
    const { owner, socket } = await startHostOwner(machine, folder);
    const { id } = await owner.call<{ id: string }>("load", "llm", someTensors(), ipc);
    await owner.call("load", "other", someTensors(), { sharing: "vmm" });
    const worker = await startHostWorker(machine, { faults: `cuIpcOpenMemHandle:*=slow=${slowMs}` });
    await worker.call("warmUp");
    const other = await worker.call<number>("attach", "other", { socket });
    const attaching = worker.call("attach", "llm", { socket, access: "readwrite" });
    const refused = expect(attaching).rejects.toMatchObject({ code: "ERR_CUDA_IPC_NOT_WRITABLE" });
    // Answered behind it.
    await worker.call("refCount", other);
    const retired = performance.now();
    await owner.call("retire", "llm");
    await owner.call("waitForFreed", id);
    expect(performance.now() - retired).toBeGreaterThan(slowMs / 2);
    await refused;
    await worker.call("release", other);
    expect(await worker.call("mappings")).toEqual(nothing);
  });

  test("when it has given up itself", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), ipc);
    const silence = vi.spyOn(Granting.prototype, "attach").mockReturnValue(new Promise(() => {}));
    onTestFinished(() => silence.mockRestore());
    const worker = await startWorker();
    const attaching = worker.call("attach", "llm", { socket: owner.socket, timeout: 200 });
    await expect(attaching).rejects.toMatchObject({ code: "ERR_CUDA_IPC_TIMEOUT" });
    await owner.retire("llm");
    await version.whenFreed();
    expect(await worker.call("mappings")).toEqual(nothing);
  });

  test.each([
    ["was new", false],
    ["was there, and no lease needed it", true],
  ])("when its connection, which %s, has broken before the answer, on another one", async (_, before) => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), ipc);
    const worker = await startWorker();
    const attach = () => worker.call<number>("attach", "llm", { socket: owner.socket });
    if (before) await worker.call("release", await attach());
    const asked = leaveUnanswered();
    const attaching = attach();
    await asked;
    const later = await owner.load("llm", someTensors(2), ipc);
    expect(version.state).toBe("released");
    await worker.call("breakConnection");
    // It asks again, and gets what there is now.
    const key = await attaching;
    await version.whenFreed();
    expect(later.refCount).toBe(1);
    await worker.call("release", key);
  });

  test("and attaches anew to what has taken its place", async () => {
    const owner = await startOwner();
    const first = await owner.load("llm", someTensors(), { ...ipc, pinned: true });
    const second = await owner.load("llm", someTensors(2), ipc);
    beforeGrant(() => void owner.rollback("llm", first.id));
    const worker = await startWorker();
    const key = await worker.call<number>("attach", "llm", { socket: owner.socket });
    await second.whenFreed();
    expect(first.refCount).toBe(1);
    expect(await worker.call("computeChecksum", key)).toBe(first.checksum);
    await worker.call("release", key);
    first.unpin();
  });

  test("and gets a version, however fast they follow one another", async () => {
    const owner = await startOwner();
    const first = await owner.load("llm", someTensors(), { ...ipc, pinned: true });
    const second = await owner.load("llm", someTensors(2), { ...ipc, pinned: true });
    const { attach: grant } = Granting.prototype;
    const changing = vi.spyOn(Granting.prototype, "attach").mockImplementation(function (
      this: Granting,
      ...args
    ) {
      void owner.rollback("llm", (owner.current("llm") === first ? second : first).id);
      return grant.apply(this, args);
    });
    onTestFinished(() => changing.mockRestore());
    const worker = await startWorker();
    const key = await worker.call<number>("attach", "llm", { socket: owner.socket });
    expect(changing).toHaveBeenCalledTimes(2);
    await worker.call("release", key);
    first.unpin();
    second.unpin();
  });

  test("when the thread that has asked is ended", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), ipc);
    const asked = leaveUnanswered();
    const thread = new Worker(
      `const { workerData } = require("node:worker_threads");
       require(workerData.index).attach("llm", { socket: workerData.socket });`,
      { eval: true, workerData: { index: require.resolve("../../dist/lib/index.js"), socket: owner.socket } },
    );
    await once(thread, "online");
    await asked;
    const { freed } = await retireBorrowed(owner, version);
    await thread.terminate();
    await freed;
  });
});

test("an owner's own attach that is refused gives back what has come ahead", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors(), ipc);
  beforeGrant(() => void owner.retire("llm"));
  await expect(attach("llm", { socket: owner.socket })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_NO_SET",
  });
  await version.whenFreed();
  expect(native.mappingStatistics()).toEqual(nothing);
});
