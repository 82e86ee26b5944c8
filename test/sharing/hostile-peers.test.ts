// Peers that break the protocol, over the real socket: a coded error, disconnected, and the owner lives on.

import { once } from "node:events";
import { chmodSync, openSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { attach, CudaIpcError, type Owner } from "../../dist/lib/index.js";
import { type NativeChannel, type NativeFd, native } from "../../dist/lib/native.js";
import { OwnerServer } from "../../dist/lib/sharing/owner-server.js";
import { type Child, startChild } from "../helpers/child.js";
import { folder, someTensors, startOwner } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

async function connectedPeer(): Promise<{ owner: Owner; peer: Child; refused: Promise<CudaIpcError> }> {
  const owner = await startOwner();
  await owner.load("llm", someTensors());
  const refused = once(owner, "peererror").then(([error]) => error as CudaIpcError);
  const peer = startChild("peer.cjs");
  await peer.call("connect", owner.socket);
  return { owner, peer, refused };
}

/** What a well-behaved worker gets, after all this. */
async function expectAlive(owner: Owner): Promise<void> {
  await using weights = await attach("llm", { socket: owner.socket });
  expect(await weights.tensor("floats").toHost()).toEqual(someTensors().floats);
}

const length = (bytes: number) => {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32LE(bytes);
  return prefix;
};
const framed = (body: Buffer | string) => Buffer.concat([length(Buffer.byteLength(body)), Buffer.from(body)]);

describe("bytes that are no frames", () => {
  test.each([
    ["garbage", Buffer.alloc(1000, 0xa5)],
    ["a frame over the limit", Buffer.concat([length((1 << 20) + 1), Buffer.alloc(100)])],
    ["an empty frame", length(0)],
    ["no JSON", framed("{type: hello}")],
    ["no object", framed('["hello"]')],
    ["no UTF-8", framed(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]))],
    ["a byte order mark", framed(`\ufeff${JSON.stringify({ type: "hello", fds: 0 })}`)],
    ["an unknown type", framed(JSON.stringify({ type: "open", fds: 0 }))],
    ["a reserved type", framed(JSON.stringify({ type: "ping", fds: 0 }))],
    ["what only owners say", framed(JSON.stringify({ type: "released", fds: 0, re: 1, ended: 1 }))],
    ["a name that is no name", framed(JSON.stringify({ type: "__proto__", fds: 0 }))],
  ])("%s", async (_, bytes) => {
    const { owner, peer, refused } = await connectedPeer();
    await peer.call("send", bytes);
    expect(await peer.call("rest")).toMatchObject([
      { type: "error", re: null, code: "ERR_CUDA_IPC_PROTOCOL", message: expect.any(String) },
    ]);
    expect((await refused).code).toBe("ERR_CUDA_IPC_PROTOCOL");
    await expectAlive(owner);
  });

  test("half a frame, and then the end", async () => {
    const { owner, peer, refused } = await connectedPeer();
    await peer.call("hello");
    await peer.call("next");
    await peer.call("send", Buffer.concat([length(100), Buffer.alloc(50, 0x20)]));
    await peer.call("disconnect");
    expect((await refused).code).toBe("ERR_CUDA_IPC_PROTOCOL");
    await expectAlive(owner);
  });

  test("a frame that comes byte by byte is a frame", async () => {
    const { owner, peer } = await connectedPeer();
    await peer.call("hello");
    expect(await peer.call("next")).toMatchObject({ type: "welcome" });
    for (const byte of framed(JSON.stringify({ type: "status", fds: 0, id: 1 }))) {
      await peer.call("send", Buffer.of(byte));
    }
    expect(await peer.call("next")).toMatchObject({ type: "statusReply", re: 1, sets: [{ name: "llm" }] });
    await expectAlive(owner);
  });
});

describe("messages out of order", () => {
  test("a request before hello", async () => {
    const { owner, peer, refused } = await connectedPeer();
    await peer.call("requestAttach", "llm");
    expect(await peer.call("rest")).toMatchObject([
      { type: "error", re: null, code: "ERR_CUDA_IPC_PROTOCOL" },
    ]);
    expect((await refused).message).toContain("hello");
    expect(owner.current("llm")!.refCount).toBe(0);
    await expectAlive(owner);
  });

  test("a second hello: disconnected, and the lease is over", async () => {
    const { owner, peer } = await connectedPeer();
    await peer.call("hello");
    await peer.call("requestAttach", "llm");
    const next = async () => (await peer.call<{ type: string }>("next")).type;
    // One by one: Node reads nothing behind a message with descriptors when the connection has been closed by then.
    expect([await next(), await next()]).toEqual(["welcome", "attached"]);
    await peer.call("hello");
    expect((await peer.call<{ type: string }[]>("rest")).map(({ type }) => type)).toEqual(["error"]);
    await owner.current("llm")!.waitForRefCount((count) => count === 0);
    await expectAlive(owner);
  });

  test("another version of the protocol", async () => {
    const { owner, peer } = await connectedPeer();
    await peer.call("hello", { protocol: [2, 3] });
    expect(await peer.call("rest")).toMatchObject([
      { code: "ERR_CUDA_IPC_PROTOCOL_VERSION", re: null, details: { owner: [1], client: [2, 3] } },
    ]);
    await expectAlive(owner);
  });

  test("another driver", async () => {
    const { owner, peer } = await connectedPeer();
    await peer.call("hello", { driver: { provider: "another", version: null } });
    expect(await peer.call("rest")).toMatchObject([{ code: "ERR_CUDA_IPC_PROVIDER", re: null }]);
    await expectAlive(owner);
  });

  test("a lease id that somebody else has", async () => {
    const { owner, peer } = await connectedPeer();
    await peer.call("hello");
    expect(await peer.call("next")).toMatchObject({ type: "welcome" });
    const lease = await peer.call<string>("requestAttach", "llm");
    expect(await peer.call("next")).toMatchObject({ type: "attached" });
    const thief = startChild("peer.cjs");
    await thief.call("connect", owner.socket);
    await thief.call("hello");
    expect(await thief.call("next")).toMatchObject({ type: "welcome" });
    await thief.call("requestAttach", "llm", lease);
    expect(await thief.call("next")).toMatchObject({ type: "error", code: "ERR_CUDA_IPC_LEASE_EXISTS" });
    expect(owner.current("llm")!.refCount).toBe(1);
  });
});

describe("descriptors", () => {
  /** A peer in this process, for only the addon can send descriptors. */
  async function sendingFds(bytes: Buffer, fds: NativeFd[]): Promise<{ owner: Owner; error: CudaIpcError }> {
    const owner = await startOwner();
    await owner.load("llm", someTensors());
    const refused = once(owner, "peererror");
    const channel = await native.connect(owner.socket);
    const closed = closing(channel);
    channel.send(bytes, fds);
    for (const fd of fds) fd.close();
    await closed;
    return { owner, error: (await refused)[0] };
  }

  function closing(channel: NativeChannel): Promise<void> {
    return new Promise((resolve) => {
      channel.ref();
      native.startChannel(channel, { onData() {}, onDrain() {}, onClose: () => resolve() });
    });
  }

  const hello = (fds: number) =>
    framed(
      JSON.stringify({
        ...{ type: "hello", fds, protocol: [1], client: { name: "peer", version: "0" }, devices: null },
        driver: { provider: native.chosenProvider(), version: null },
      }),
    );
  const someFds = (count: number) =>
    Array.from({ length: count }, () => native.adoptFd(openSync("/dev/null", "r")));

  test("that nobody asked for", async () => {
    const { owner, error } = await sendingFds(hello(0), someFds(3));
    expect(error.code).toBe("ERR_CUDA_IPC_PROTOCOL");
    await expectAlive(owner);
  });

  test("that a message says it has, and which no client message may", async () => {
    const { owner, error } = await sendingFds(hello(2), someFds(2));
    expect(error.code).toBe("ERR_CUDA_IPC_PROTOCOL");
    await expectAlive(owner);
  });

  test("that a message says it has, and which never come", async () => {
    const { owner, error } = await sendingFds(hello(2), []);
    expect(error.code).toBe("ERR_CUDA_IPC_PROTOCOL");
    await expectAlive(owner);
  });

  test("more than anybody may send", async () => {
    const { owner, error } = await sendingFds(hello(0).subarray(0, 20), someFds(1100));
    expect(error.code).toBe("ERR_CUDA_IPC_PROTOCOL");
    await expectAlive(owner);
  });
});

describe("peers that are not welcome", () => {
  test("a process of another user", async () => {
    // As root the worker becomes somebody else; otherwise the owner takes itself for somebody else.
    const root = process.getuid!() === 0;
    chmodSync(folder, 0o755);
    const socket = root ? newSocket(folder) : path.join(os.tmpdir(), `${path.basename(folder)}.sock`);
    const owner = startChild("owner.cjs");
    if (!root) await owner.call("pretendUid", 4242);
    await owner.call("listen", { socket, mode: 0o666 });
    await owner.call("load", "llm", someTensors());
    const stranger = startChild();
    if (root) await stranger.call("becomeUid", 65534);
    await expect(stranger.call("attach", "llm", { socket })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_FORBIDDEN",
      details: { uid: root ? 65534 : process.getuid!() },
    });
    expect(await owner.event("peererror")).toBe("ERR_CUDA_IPC_FORBIDDEN");
    rmSync(`${socket}.lock`);
  });

  test("one connection too many, until another has ended", async () => {
    const owner = await startOwner({ limits: { connections: 2 } });
    await owner.load("llm", someTensors());
    const peers = [1, 2, 3].map(() => startChild("peer.cjs"));
    const [first, second, third] = peers as [Child, Child, Child];
    for (const peer of [first, second]) {
      await peer.call("connect", owner.socket);
      await peer.call("hello");
      expect(await peer.call("next")).toMatchObject({ type: "welcome" });
    }
    const lease = await first.call<string>("requestAttach", "llm");
    expect(await first.call("next")).toMatchObject({ type: "attached" });
    await third.call("connect", owner.socket);
    expect(await third.call("rest")).toMatchObject([{ code: "ERR_CUDA_IPC_CONNECTION_LIMIT" }]);
    // Its lease ends when the owner has seen the end of its connection.
    const seen = once(owner, "leaseended");
    await first.call("disconnect");
    expect(await seen).toMatchObject([{ lease }]);
    await expectAlive(owner);
  });
});

test("a peer whom the owner has no descriptor left to describe sees its connection end, and the owner lives on", async () => {
  const { owner, refused } = await connectedPeer();
  const { accept } = OwnerServer.prototype;
  const accepting = vi.spyOn(OwnerServer.prototype, "accept").mockImplementation(function (
    this: OwnerServer,
    channel,
  ) {
    accepting.mockRestore();
    const limited = new CudaIpcError("ERR_CUDA_IPC_FD_LIMIT", "no descriptor left");
    Object.defineProperty(channel, "peer", {
      get() {
        throw limited;
      },
    });
    accept.call(this, channel);
  });
  onTestFinished(() => accepting.mockRestore());
  // It is asked again when the first one has ended.
  await expectAlive(owner);
  expect(await refused).toMatchObject({ code: "ERR_CUDA_IPC_FD_LIMIT" });
});
