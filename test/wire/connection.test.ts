import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { CudaIpcError } from "../../dist/lib/errors.js";
import type { NativeFd } from "../../dist/lib/native.js";
import { closeAll } from "../../dist/lib/wire/ahead.js";
import { ClientConnection, type ClientOptions } from "../../dist/lib/wire/client.js";
import { encodeFrame } from "../../dist/lib/wire/encode.js";
import { type RequestHandlers, ServerConnection, type ServerOptions } from "../../dist/lib/wire/server.js";
import { example } from "./examples.js";
import { FakeChannel, FakeFd } from "./fake-channel.js";

const coded = (code: string) => expect.objectContaining({ code: `ERR_CUDA_IPC_${code}` });
const body = <T extends { type: string; fds: number }>({ type, fds, ...fields }: T) => fields;
const { id: _, ...attachBody } = body(example("attach"));
const { protocol: __, ...helloBody } = body(example("hello"));
const { protocol: ___, ...welcomeBody } = body(example("welcome"));
const { re: ____, ...attachedBody } = body(example("attached"));
const one = [example("attach").lease];
const slab = example("attached").slabs[0]!;
const handle = `${"A".repeat(86)}==`;

const unused = () => {
  throw new Error("not used in this test");
};
const noHandlers: RequestHandlers = {
  attach: unused,
  retain: unused,
  release: unused,
  reclaim: unused,
  offer: unused,
  lock: unused,
  unlock: unused,
  relock: unused,
  handover: unused,
  handoverTaken: unused,
  mirror: unused,
  mirrorDropped: unused,
  status: unused,
};

function deferred<T>() {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((...settle) => {
    [resolve, reject] = settle;
  });
  return { promise, resolve, reject };
}

/** Settles once everything that is on its way has arrived: the fake channel needs microtasks only. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

function connect(
  handlers: Partial<RequestHandlers> = {},
  client: Partial<ClientOptions> = {},
  server: Partial<ServerOptions> = {},
) {
  const [near, far] = FakeChannel.pair();
  const closed = { client: vi.fn(), server: vi.fn() };
  const owner = new ServerConnection({
    channel: far,
    start: FakeChannel.start,
    handlers: { ...noHandlers, ...handlers },
    onHello: () => welcomeBody,
    onClose: closed.server,
    ...server,
  });
  const worker = new ClientConnection({
    channel: near,
    start: FakeChannel.start,
    hello: helloBody,
    onClose: closed.client,
    ...client,
  });
  return { near, far, owner, worker, closed };
}

/** An owner's end with nobody behind the socket but this test's bytes. */
function rawClient(options: Partial<ServerOptions> = {}) {
  const [near, far] = FakeChannel.pair();
  const received: { type: string; code?: string }[] = [];
  const end = vi.fn();
  FakeChannel.start(near, {
    onData: (bytes) => {
      let rest = bytes;
      while (rest.length > 0) {
        const size = 4 + rest.readUInt32LE(0);
        received.push(JSON.parse(rest.toString("utf8", 4, size)));
        rest = rest.subarray(size);
      }
    },
    onDrain: () => {},
    onClose: end,
  });
  const onClose = vi.fn();
  const owner = new ServerConnection({
    channel: far,
    start: FakeChannel.start,
    handlers: noHandlers,
    onHello: () => welcomeBody,
    onClose,
    ...options,
  });
  const say = (message: object) => near.send(encodeFrame({ fds: 0, ...message }));
  return { near, far, owner, received, onClose, end, say, hello: () => say(example("hello")) };
}

beforeEach(() => {
  expect(FakeFd.open.size).toBe(0);
});
afterEach(() => {
  vi.useRealTimers();
  for (const fd of FakeFd.open) fd.close();
});

describe("requests", () => {
  test("may follow the hello at once, and are answered with descriptors", async () => {
    const [slab, manifest] = [new FakeFd(), new FakeFd()];
    const { worker } = connect({
      attach: ({ lease }) => ({ body: { ...attachedBody, lease }, fds: [slab, manifest] }),
      release: async ({ leases }) => ({ body: { ended: leases.length } }),
    });
    const attaching = worker.request("attach", attachBody);
    const releasing = worker.request("release", { leases: one });
    expect(await worker.welcome).toMatchObject(welcomeBody);
    const { message, fds, memory } = await attaching;
    expect(message).toMatchObject({ type: "attached", ...attachedBody });
    expect(fds).toEqual([...memory!.fds, memory!.manifest]);
    expect((await releasing).message.ended).toBe(1);
    closeAll(memory!);
    expect([...FakeFd.open]).toEqual([slab, manifest]);
  });

  test("keep the process alive until they are answered", async () => {
    const { worker, near } = connect({ release: () => ({ body: { ended: 0 } }) });
    await worker.welcome;
    expect(near.refed).toBe(false);
    const releasing = worker.request("release", { leases: one });
    expect(near.refed).toBe(true);
    await releasing;
    expect(near.refed).toBe(false);
  });

  test("a handler's error answers its request and nothing else", async () => {
    const { worker } = connect({
      attach: () => {
        throw new CudaIpcError("ERR_CUDA_IPC_NO_SET", "There is no such set.", {
          details: { set: "llm" },
        });
      },
      retain: async () => {
        throw new CudaIpcError("ERR_CUDA_IPC_LEASE_UNKNOWN", "No.", { details: { pointer: 1n } });
      },
      release: () => {
        throw new TypeError("a mistake");
      },
      status: () => ({ body: { sets: [], locks: [] } }),
    });
    await expect(worker.request("attach", attachBody)).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_NO_SET",
      message: "There is no such set.",
      details: { set: "llm" },
    });
    await expect(worker.request("retain", { lease: one[0]!, newLease: one[0]! })).rejects.toThrow(
      coded("LEASE_UNKNOWN"),
    );
    await expect(worker.request("release", { leases: one })).rejects.toThrow(coded("INTERNAL"));
    expect((await worker.request("status", {})).message.sets).toEqual([]);
  });

  test("an answer that cannot be sent is undone and becomes an error", async () => {
    const onUnsent = vi.fn();
    const { worker } = connect({
      attach: () => ({ body: { ...attachedBody, lease: "not an id" }, onUnsent }),
    });
    await expect(worker.request("attach", attachBody)).rejects.toThrow(coded("PROTOCOL"));
    expect(onUnsent).toHaveBeenCalledOnce();
  });

  test("what this side would send wrongly is refused here", async () => {
    const { worker, closed } = connect();
    await expect(worker.request("attach", { ...attachBody, lease: "short" })).rejects.toThrow(
      coded("PROTOCOL"),
    );
    await settled();
    expect(closed.client).not.toHaveBeenCalled();
  });

  test.each(["abort", "timeout"] as const)("after %s, a late grant is closed and told", async (how) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const kept = [new FakeFd(), new FakeFd()];
    const grant = deferred<void>();
    const onLate = vi.fn();
    const attach: RequestHandlers["attach"] = async () => {
      await grant.promise;
      return { body: attachedBody, fds: kept };
    };
    const { worker, closed } = connect({ attach }, { onLate });
    const controller = new AbortController();
    const attaching = worker.request("attach", attachBody, { signal: controller.signal, timeoutMs: 100 });
    const outcome = expect(attaching).rejects.toMatchObject(
      how === "abort" ? { name: "AbortError" } : { code: "ERR_CUDA_IPC_TIMEOUT" },
    );
    if (how === "abort") controller.abort();
    else vi.advanceTimersByTime(100);
    await outcome;
    expect(onLate).not.toHaveBeenCalled();
    grant.resolve();
    await settled();
    expect(onLate).toHaveBeenCalledOnce();
    expect(onLate.mock.calls[0]).toMatchObject([
      { type: "attach", lease: attachBody.lease },
      { type: "attached" },
    ]);
    expect([...FakeFd.open]).toEqual(kept);
    expect(closed.client).not.toHaveBeenCalled();
  });

  test("a late error tells nobody; an aborted signal sends nothing", async () => {
    const refusal = deferred<never>();
    const onLate = vi.fn();
    const attach = vi.fn(() => refusal.promise);
    const { worker } = connect({ attach }, { onLate });
    await expect(worker.request("attach", attachBody, { signal: AbortSignal.abort() })).rejects.toThrow();
    const controller = new AbortController();
    const attaching = worker.request("attach", attachBody, { signal: controller.signal });
    await settled();
    controller.abort();
    await expect(attaching).rejects.toThrow();
    refusal.reject(new CudaIpcError("ERR_CUDA_IPC_RETIRED", "Gone."));
    await settled();
    expect(onLate).not.toHaveBeenCalled();
    expect(attach).toHaveBeenCalledOnce();
  });

  test("all that wait are rejected when the connection ends", async () => {
    const { worker, owner, closed } = connect({ attach: () => new Promise(() => {}) });
    const attaching = worker.request("attach", attachBody);
    await worker.welcome;
    owner.close();
    await expect(attaching).rejects.toThrow(coded("CONNECTION_LOST"));
    await expect(worker.request("status", {})).rejects.toThrow(coded("CONNECTION_LOST"));
    expect(closed.client).toHaveBeenCalledExactlyOnceWith(undefined);
    expect(closed.server).toHaveBeenCalledExactlyOnceWith(undefined);
  });

  test("an answer to nobody is not sent, and a reset is told as it was", async () => {
    const grant = deferred<void>();
    const { worker, near, closed } = connect({
      attach: async () => {
        await grant.promise;
        return { body: attachedBody, fds: [] as NativeFd[] };
      },
    });
    const attaching = worker.request("attach", attachBody);
    await worker.welcome;
    near.end(new CudaIpcError("ERR_CUDA_IPC_CONNECTION", "reset"));
    near.other.end(null);
    await expect(attaching).rejects.toThrow(coded("CONNECTION_LOST"));
    expect(closed.client).toHaveBeenCalledExactlyOnceWith(coded("CONNECTION"));
    grant.resolve();
    await settled();
    expect(closed.server).toHaveBeenCalledOnce();
  });

  test("too many at a time pause the reading", async () => {
    const release = deferred<void>();
    const { worker, far } = connect(
      { status: () => release.promise.then(() => ({ body: { sets: [], locks: [] } })) },
      {},
      { maxConcurrent: 2 },
    );
    const first = [worker.request("status", {}), worker.request("status", {}), worker.request("status", {})];
    await settled();
    expect(far.paused).toBe(true);
    release.resolve();
    await Promise.all(first);
    expect(far.paused).toBe(false);
  });
});

test("waiting for locks does not keep the unlock behind it from being read", async () => {
  const { type, fds, id, ...lock } = example("lock");
  const unlocked = vi.fn(() => ({ body: { ended: 1 } }));
  const { worker, far } = connect(
    { lock: () => new Promise<never>(() => {}), unlock: unlocked },
    {},
    { maxConcurrent: 2 },
  );
  for (let n = 0; n < 4; n++) worker.request("lock", lock).catch(() => {});
  await worker.request("unlock", { locks: [lock.lock] });
  expect(far.paused).toBe(false);
  expect(unlocked).toHaveBeenCalledOnce();
});

test("last words are left with the channel when the hello is sent, and a farewell is no request", async () => {
  const onFarewell = vi.fn();
  const { near, worker, closed } = connect({}, { saysFarewell: true }, { onFarewell });
  expect(near.words).toBeUndefined();
  await worker.welcome;
  near.send(near.words!);
  near.close();
  await vi.waitFor(() => expect(closed.server).toHaveBeenCalledExactlyOnceWith(undefined));
  expect(onFarewell).toHaveBeenCalledOnce();
  expect(connect().near.words).toBeUndefined();
});

describe("events", () => {
  test("reach a greeted client in order", async () => {
    const onEvent = vi.fn();
    const { worker, owner } = connect({}, { onEvent });
    owner.notify("closing", { reason: "too early" });
    await worker.welcome;
    owner.notify("superseded", body(example("superseded")));
    owner.notify("closing", { reason: "the owner closes" });
    owner.close();
    await settled();
    expect(onEvent.mock.calls.map(([event]) => event.type)).toEqual(["superseded", "closing"]);
  });
});

describe("the handshake", () => {
  test("a client that is silent is disconnected", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { received, onClose } = rawClient({ helloTimeoutMs: 1000 });
    await settled();
    vi.advanceTimersByTime(999);
    await settled();
    expect(received).toEqual([]);
    vi.advanceTimersByTime(1);
    await settled();
    expect(received).toMatchObject([{ type: "error", re: null, code: "ERR_CUDA_IPC_HELLO_TIMEOUT" }]);
    expect(onClose).toHaveBeenCalledExactlyOnceWith(coded("HELLO_TIMEOUT"));
  });

  test.each([
    ["a request before hello", [example("attach")]],
    ["two hellos", [example("hello"), example("hello")]],
  ])("%s disconnects", async (_, messages) => {
    const { say, received, onClose } = rawClient();
    for (const message of messages) say(message);
    await settled();
    expect(received.at(-1)).toMatchObject({ type: "error", re: null, code: "ERR_CUDA_IPC_PROTOCOL" });
    expect(onClose).toHaveBeenCalledOnce();
  });

  test("another protocol version is refused with both sides' versions", async () => {
    const { say, received } = rawClient();
    say({ ...example("hello"), protocol: [2, 3] });
    await settled();
    expect(received).toMatchObject([
      { code: "ERR_CUDA_IPC_PROTOCOL_VERSION", details: { owner: [1], client: [2, 3] } },
    ]);
  });

  test("the owner's refusal rejects the welcome and every request", async () => {
    const onHello = () => {
      throw new CudaIpcError("ERR_CUDA_IPC_DRIVER_MISMATCH", "Another driver.");
    };
    const { worker, closed } = connect({}, {}, { onHello });
    const attaching = worker.request("attach", attachBody);
    await expect(worker.welcome).rejects.toThrow(coded("DRIVER_MISMATCH"));
    await expect(attaching).rejects.toThrow(coded("DRIVER_MISMATCH"));
    await expect(worker.request("status", {})).rejects.toThrow(coded("DRIVER_MISMATCH"));
    expect(closed.client).toHaveBeenCalledExactlyOnceWith(coded("DRIVER_MISMATCH"));
  });
});

describe("peers that break the protocol", () => {
  test.each<[string, (near: FakeChannel) => void]>([
    ["garbage", (near) => near.send(Buffer.from("GET / HTTP/1.1\r\n\r\n"))],
    ["a frame over the limit", (near) => near.send(Buffer.from([0xff, 0xff, 0xff, 0x7f]))],
    [
      "descriptors nobody asked for",
      (near) => near.other.deliver(encodeFrame(example("status")), [new FakeFd()]),
    ],
    [
      "declared descriptors where none belong",
      (near) => near.other.deliver(encodeFrame({ ...example("status"), fds: 1 }), [new FakeFd()]),
    ],
    ["an unknown message", (near) => near.send(encodeFrame({ type: "launch", fds: 0 }))],
    ["an owner's message", (near) => near.send(encodeFrame(example("welcome")))],
  ])("%s: a coded error, and they are disconnected", async (_, violate) => {
    const { near, hello, received, onClose, end } = rawClient();
    hello();
    violate(near);
    await settled();
    expect(received[0]!.type).toBe("welcome");
    expect(received.at(-1)).toMatchObject({ re: null, code: "ERR_CUDA_IPC_PROTOCOL" });
    expect(onClose).toHaveBeenCalledExactlyOnceWith(coded("PROTOCOL"));
    expect(end).toHaveBeenCalledOnce();
    expect(FakeFd.open.size).toBe(0);
  });

  test("half a frame before end-of-file is told to the owner", async () => {
    const { near, onClose } = rawClient();
    near.send(Buffer.from([10, 0, 0, 0, 0x7b]));
    await settled();
    near.close();
    await settled();
    expect(onClose).toHaveBeenCalledExactlyOnceWith(coded("PROTOCOL"));
  });

  test("a slow reader is disconnected instead of filling the owner's memory", async () => {
    const { near, hello, owner, onClose } = rawClient({ maxQueuedBytes: 10_000 });
    hello();
    await settled();
    near.stalled = true;
    for (let n = 0; n < 200 && !owner.closed; n++) owner.notify("closing", { reason: "x".repeat(1000) });
    await settled();
    expect(onClose).toHaveBeenCalledExactlyOnceWith(coded("SLOW_READER"));
  });

  test.each([
    ["a reply to no request", { ...example("released"), re: 77 }, 0],
    ["a reply of another type", { ...example("released"), re: 1 }, 0],
    ["fewer descriptors than vmm slabs and a manifest", { ...example("attached"), re: 1, fds: 1 }, 1],
    ["more of them", { ...example("attached"), re: 1, fds: 3 }, 3],
    ["another lease", { ...example("attached"), re: 1, lease: "0".repeat(32) }, 2],
    ["a vmm slab with a handle", { ...example("attached"), re: 1, slabs: [{ ...slab, handle }] }, 2],
    [
      "an ipc slab without one",
      { ...example("attached"), re: 1, fds: 1, slabs: [{ ...slab, sharing: "ipc" }] },
      1,
    ],
  ])("an owner that sends %s is left", async (_, message, fds) => {
    const { worker, near, closed } = connect({ attach: () => new Promise(() => {}) });
    const attaching = worker.request("attach", attachBody);
    await worker.welcome;
    near.deliver(
      encodeFrame(message),
      Array.from({ length: fds }, () => new FakeFd()),
    );
    await expect(attaching).rejects.toThrow(coded("PROTOCOL"));
    expect(closed.client).toHaveBeenCalledExactlyOnceWith(coded("PROTOCOL"));
    expect(FakeFd.open.size).toBe(0);
  });

  test("an owner must welcome first", async () => {
    const [near] = FakeChannel.pair();
    const onClose = vi.fn();
    const worker = new ClientConnection({
      channel: near,
      start: FakeChannel.start,
      hello: helloBody,
      onClose,
    });
    near.deliver(encodeFrame(example("retired")));
    await expect(worker.welcome).rejects.toThrow(coded("PROTOCOL"));
    expect(onClose).toHaveBeenCalledExactlyOnceWith(coded("PROTOCOL"));
  });
});

test("a request that ends with the connection, before it is sent, leaves no timer", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const { near, worker } = connect({}, { maxQueuedBytes: 1 });
  await settled();
  const before = vi.getTimerCount();
  near.queuedBytes = 2;
  await expect(worker.request("status", {}, { timeoutMs: 1000 })).rejects.toThrow(coded("CONNECTION_LOST"));
  expect(vi.getTimerCount()).toBeLessThanOrEqual(before);
});
