// What lies on a shelf goes to who asks for it before JavaScript has heard of the request, or of the channel.
import { readdirSync, readlinkSync, readSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { expect, onTestFinished, test } from "vitest";
import { type NativeChannel, type NativeFd, type NativeShelf, native } from "../../dist/lib/native.js";
import { encodeFrame } from "../../dist/lib/wire/encode.js";
import { Changes, type End, openFds, socketPath, started } from "./helpers.js";

const me = process.getuid!();
const hello = encodeFrame({ fds: 0, type: "hello", protocol: [1] });
const mostNotes = 16;
const waitMs = 10_000;

function request(lease: string, change: object = {}): Buffer {
  const body = { id: 1, set: "llm", version: null, checksum: null, access: "read", lease, ahead: true };
  return encodeFrame({ fds: 0, type: "attach", ...body, ...change });
}

function file(text: string): NativeFd {
  return native.createSealedMemfd("shelf", Buffer.from(text));
}

/** How many descriptors for such files this process has. */
function openFiles(): number {
  const links = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // the one that listed them
    }
  });
  return links.filter((link) => link.startsWith("/memfd:shelf")).length;
}

function textOf(fd: NativeFd | undefined): string {
  const buffer = Buffer.alloc(64);
  return buffer.toString("utf8", 0, readSync(fd!.fd, buffer, 0, buffer.length, 0));
}

function shelfWith(version: string, frames: string, fds = 0, shelf = native.createShelf([me])): NativeShelf {
  const files = Array.from({ length: fds }, (_, i) => file(`${version} ${i}`));
  shelf.put("llm", version, "c1", Buffer.from(frames), files);
  for (const each of files) each.close();
  onTestFinished(() => shelf.clear());
  return shelf;
}

interface Served {
  near: End;
  /** Has not been started. */
  far: NativeChannel;
}

/** The client's end of a connection that has said this much before the owner's was made. */
function served(shelf: NativeShelf | undefined, first: Buffer): Served {
  const [channel, fd] = native.socketPair();
  const near = started(channel);
  channel.send(first);
  const far = native.adoptChannel(fd, shelf);
  onTestFinished(() => {
    near.events.closeFds();
    channel.close();
    far.close();
  });
  return { near, far };
}

/** Everything that the client gets before the owner's next word. */
async function heardBefore({ near, far }: Served): Promise<string> {
  const word = "|word";
  far.send(Buffer.from(word));
  await near.events.until(() => near.events.bytes().toString().endsWith(word));
  return near.events.bytes().toString().slice(0, -word.length);
}

const all = (...parts: Buffer[]) => Buffer.concat(parts);

test("what lies on the shelf goes to who asks for it, with its descriptors", async () => {
  const { near, far } = served(shelfWith("v1", "frames", 2), all(hello, request("a")));
  await near.events.until(() => near.events.received === 6 && near.events.fds.length === 2);
  expect(near.events.bytes().toString()).toBe("frames");
  expect(near.events.fds.map(textOf)).toEqual(["v1 0", "v1 1"]);
  expect(far.takeAhead("b")).toBeUndefined();
  expect(far.takeAhead("a")).toBe("v1");
  expect(far.takeAhead("a")).toBeUndefined();
});

test("who asks later is served by the epoll thread, in whatever order", async () => {
  const { near, far } = served(shelfWith("v1", "frames"), hello);
  near.channel.send(request("a"));
  near.channel.send(all(request("b"), encodeFrame({ fds: 0, type: "release" }), request("c")));
  await near.events.until(() => near.events.received === 18);
  expect(["c", "b", "a"].map((lease) => far.takeAhead(lease))).toEqual(["v1", "v1", "v1"]);
});

test.each<[string, object]>([
  ["another set", { set: "other" }],
  ["another version", { version: "v2" }],
  ["other content", { checksum: "c2" }],
  ["nothing ahead", { ahead: false }],
  ["it in no such words", { ahead: "true" }],
  ["nothing of the kind", { type: "attached" }],
  ["a set whose name needs escapes", { set: 'l"lm' }],
  ["it for a lease without a name", { lease: "" }],
])("who asks for %s gets nothing ahead", async (_, change) => {
  // The next of the same kind does: it is not that nothing is looked at.
  const both = served(shelfWith("v1", "frames", 1), all(hello, request("a", change), request("b")));
  expect(await heardBefore(both)).toBe("frames");
  expect(both.far.takeAhead("a")).toBeUndefined();
  expect(both.far.takeAhead("b")).toBe("v1");
});

test.each<[string, object]>([
  ["by its version", { version: "v1" }],
  ["by its content", { checksum: "c1" }],
  ["by both", { version: "v1", checksum: "c1" }],
])("who asks %s gets it", async (_, change) => {
  const both = served(shelfWith("v1", "frames"), all(hello, request("a", change)));
  expect(await heardBefore(both)).toBe("frames");
  expect(both.far.takeAhead("a")).toBe("v1");
});

test("content that nobody knows the checksum of goes only to who does not ask for one", async () => {
  const shelf = native.createShelf([me]);
  shelf.put("llm", "v1", null, Buffer.from("frames"), []);
  const both = served(shelf, all(hello, request("a", { checksum: "c1" }), request("b")));
  expect(await heardBefore(both)).toBe("frames");
  expect(both.far.takeAhead("a")).toBeUndefined();
});

test.each<[string, Buffer[]]>([
  ["has not said hello", [request("a")]],
  ["says it too late", [request("a"), hello, request("b")]],
  ["says something else first", [encodeFrame({ fds: 0, type: "status" }), hello, request("a")]],
])("who %s gets nothing ahead", async (_, parts) => {
  const both = served(shelfWith("v1", "frames"), all(...parts));
  expect(await heardBefore(both)).toBe("");
  expect(both.far.takeAhead("a")).toBeUndefined();
});

test("other users get nothing ahead", async () => {
  const shelf = shelfWith("v1", "frames", 0, native.createShelf([me + 1]));
  expect(await heardBefore(served(shelf, all(hello, request("a"))))).toBe("");
  const wide = shelfWith("v1", "frames", 0, native.createShelf([me + 1, me]));
  expect(await heardBefore(served(wide, all(hello, request("a"))))).toBe("frames");
});

test("of other users nothing is read before JavaScript has decided on them", () => {
  const sent = file("");
  const served = (uid: number) => {
    const [channel, fd] = native.socketPair();
    channel.send(all(hello, request("a")), [sent]);
    const far = native.adoptChannel(fd, shelfWith("v1", "frames", 0, native.createShelf([uid])));
    onTestFinished(() => {
      channel.close();
      far.close();
    });
  };
  served(me + 1);
  expect(openFiles()).toBe(1);
  served(me);
  expect(openFiles()).toBe(2);
  sent.close();
});

test("a request that comes in pieces is left to JavaScript", async () => {
  const both = served(shelfWith("v1", "frames"), all(hello, request("a").subarray(0, 20)));
  both.near.channel.send(all(request("a").subarray(20), request("b")));
  both.near.channel.send(request("c"));
  const far = started(both.far);
  // Whether the third shares a chunk with the end of the first is for the kernel.
  await far.events.until(() => far.events.received === hello.length + 3 * request("a").length);
  expect(both.far.takeAhead("a")).toBeUndefined();
  expect(both.far.takeAhead("b")).toBeUndefined();
  expect(far.events.bytes()).toEqual(all(hello, request("a"), request("b"), request("c")));
});

test("a channel without a shelf neither reads before its start nor sends anything ahead", async () => {
  const both = served(undefined, all(hello, request("a")));
  expect(await heardBefore(both)).toBe("");
  expect(both.far.takeAhead("a")).toBeUndefined();
});

test("what has arrived before the start is delivered after it, in order and with its descriptors", async () => {
  const { near, far } = served(shelfWith("v1", "frames"), all(hello, request("a")));
  await near.events.until(() => near.events.received === 6);
  const [sent, offer] = [file("for the owner"), encodeFrame({ fds: 1, type: "offer" })];
  near.channel.send(offer, [sent]);
  near.channel.send(request("b"));
  await near.events.until(() => near.events.received === 12);
  const end = started(far);
  const last = encodeFrame({ fds: 0, type: "release" });
  near.channel.send(last);
  near.channel.close();
  sent.close();
  await end.events.closed();
  expect(end.events.bytes()).toEqual(all(hello, request("a"), offer, request("b"), last));
  expect(end.events.fds.map(textOf)).toEqual(["for the owner"]);
  expect(end.events.closes).toEqual([null]);
  end.events.closeFds();
});

test("more than a slow event loop may have waiting is not read before the start, and nothing is lost", async () => {
  const { near, far } = served(shelfWith("v1", "frames"), all(hello, request("a")));
  const much = Buffer.alloc(8 << 20, "x");
  expect(near.channel.send(much)).toBe(false);
  await near.events.until(() => near.events.received === 6);
  expect(near.channel.queuedBytes).toBeGreaterThan(4 << 20);
  const end = started(far);
  await end.events.until(() => end.events.received === hello.length + request("a").length + much.length);
});

test("at most 16 leases wait for JavaScript to ask of them", async () => {
  const leases = Array.from({ length: mostNotes + 1 }, (_, i) => `${i}`);
  const both = served(shelfWith("v1", "frames"), all(hello, ...leases.map((lease) => request(lease))));
  expect(await heardBefore(both)).toBe("frames".repeat(mostNotes));
  expect(both.far.takeAhead(`${mostNotes}`)).toBeUndefined();
  expect(both.far.takeAhead("0")).toBe("v1");
  // The first of these has a note already, the second takes the place.
  both.near.channel.send(all(request("1"), request("new"), request("one more")));
  const far = started(both.far);
  const asked = (mostNotes + 2) * request("10").length;
  await far.events.until(() => far.events.received > asked);
  await both.near.events.until(() => both.near.events.bytes().toString().endsWith("|wordframes"));
  expect(both.far.takeAhead("new")).toBe("v1");
  expect(both.far.takeAhead("one more")).toBeUndefined();
});

test("who does not read what it was sent gets nothing ahead of it", async () => {
  const { near, far } = served(shelfWith("v1", "frames"), hello);
  near.channel.pause();
  const much = Buffer.alloc(8 << 20, "x");
  expect(far.send(much)).toBe(false);
  near.channel.send(request("a"));
  const end = started(far);
  await end.events.until(() => end.events.received === hello.length + request("a").length);
  expect(far.takeAhead("a")).toBeUndefined();
  near.channel.resume();
  await near.events.until(() => near.events.received === much.length);
  await end.events.until(() => end.events.log.includes("drain"));
  near.channel.send(request("b"));
  await near.events.until(() => near.events.received === much.length + 6);
  expect(far.takeAhead("b")).toBe("v1");
});

test("what the kernel does not take of it at once follows, before whatever is sent later", async () => {
  const many = 300; // of which the kernel takes 253 beside one message
  const shelf = shelfWith("v1", `f${"r".repeat(8 << 20)}`, many);
  const [channel, fd] = native.socketPair();
  const near = started(channel);
  channel.pause();
  channel.send(all(hello, request("a"), request("b")));
  const far = native.adoptChannel(fd, shelf);
  shelf.clear(); // which it does not need any more
  expect(far.takeAhead("a")).toBe("v1");
  expect(far.takeAhead("b")).toBeUndefined();
  expect(far.send(Buffer.from("later"))).toBe(false);
  channel.resume();
  await near.events.until(() => near.events.received === 1 + (8 << 20) + 5);
  expect(near.events.bytes().toString().slice(-8)).toBe("rrrlater");
  expect(near.events.fds.map(textOf)).toEqual(Array.from({ length: many }, (_, i) => `v1 ${i}`));
  near.events.closeFds();
  channel.close();
  far.close();
});

test("what was put last is sent, what was removed is not, and their descriptors are closed", async () => {
  const shelf = shelfWith("v1", "first", 3);
  expect(openFiles()).toBe(3);
  shelfWith("v2", "second", 2, shelf);
  expect(openFiles()).toBe(2);
  shelf.remove("llm", "v1");
  shelf.remove("other", "v2");
  const requests = all(hello, request("a", { version: "v1" }), request("b"));
  const both = served(shelf, requests);
  expect(await heardBefore(both)).toBe("second");
  both.near.events.closeFds();
  expect(openFiles()).toBe(2);
  shelf.remove("llm", "v2");
  expect(openFiles()).toBe(0);
  shelf.remove("llm", "v2");
  expect(await heardBefore(served(shelf, requests))).toBe("");
  shelfWith("v3", "third", 1, shelf);
  shelf.clear();
  shelf.clear();
  expect(openFiles()).toBe(0);
  expect(await heardBefore(served(shelf, requests))).toBe("");
});

test("what cannot be put is refused with a code, and what lies there stays", async () => {
  const shelf = shelfWith("v1", "frames", 1);
  const [sent, closed] = [file(""), file("")];
  closed.close();
  const code = (name: string) => expect.objectContaining({ code: `ERR_CUDA_IPC_${name}` });
  const invalid = code("INVALID_ARGUMENT");
  // biome-ignore lint/suspicious/noExplicitAny: wrong types on purpose
  const put = shelf.put.bind(shelf) as (...args: any[]) => void;
  const frames = Buffer.from("other");
  expect(() => put("llm", "v2", "c1", frames, [sent, closed])).toThrow(code("CLOSED"));
  expect(() => put("llm", "v2", "c1", Buffer.alloc(0), [sent])).toThrow(invalid);
  expect(() => put("llm", "v2", "c1", Buffer.alloc(1), Array(254).fill(sent))).toThrow(invalid);
  expect(() => put("llm", "v2", "c1", "text", [])).toThrow(invalid);
  expect(() => put("llm", "v2", "c1", frames, {})).toThrow(invalid);
  expect(() => put("llm", "v2", "c1", frames, [1])).toThrow(invalid);
  expect(() => put("llm", "v2", 1, frames, [])).toThrow(invalid);
  expect(() => put("llm", undefined, null, frames, [])).toThrow(invalid);
  // biome-ignore lint/suspicious/noExplicitAny: wrong types on purpose
  const addon = native as any;
  for (const wrong of [undefined, {}, [-1], [1.5], ["0"], [2 ** 32]])
    expect(() => addon.createShelf(wrong)).toThrow(invalid);
  for (const wrong of [{}, 1, sent]) expect(() => addon.adoptChannel(sent, wrong)).toThrow(invalid);
  sent.close();
  expect(openFiles()).toBe(1);
  expect(await heardBefore(served(shelf, all(hello, request("a"))))).toBe("frames");
});

test("closing a channel that was never started closes what it has received", async () => {
  const { near, far } = served(shelfWith("v1", "frames"), hello);
  const sent = file("");
  near.channel.send(request("a"), [sent, sent]);
  sent.close();
  await near.events.until(() => near.events.received === 6); // so the descriptors have come
  expect(openFiles()).toBe(2);
  far.close();
  expect(openFiles()).toBe(0);
  await near.events.closed();
});

// Another thread as the client, which tells of what it has heard in memory that both share.

/** 0: nothing yet; 1: the frames have come; 2: the end has. */
type Heard = Int32Array<SharedArrayBuffer>;

const client = `
  const { workerData, parentPort } = require("node:worker_threads");
  const { native } = require(workerData.addon);
  const tell = (what) => {
    Atomics.store(workerData.heard, 0, what);
    Atomics.notify(workerData.heard, 0);
  };
  parentPort.postMessage("ready");
  parentPort.once("message", async () => {
    const channel = await native.connect(workerData.socket);
    channel.send(workerData.first);
    let received = 0;
    native.startChannel(channel, {
      onData(bytes, fds) {
        for (const fd of fds) fd.close();
        received += bytes.length;
        if (received === 6) tell(1);
      },
      onDrain() {},
      onClose() { tell(2); },
    });
    channel.ref();
  });`;

const addon = require.resolve("../../dist/lib/native.js");

async function clientThread(socket: string): Promise<{ heard: Heard; thread: Worker }> {
  const heard = new Int32Array(new SharedArrayBuffer(4));
  const first = all(hello, request("a"));
  const thread = new Worker(client, { eval: true, workerData: { socket, addon, heard, first } });
  onTestFinished(async () => void (await thread.terminate()));
  await new Promise((resolve) => thread.once("message", resolve));
  return { heard, thread };
}

/** With this thread's event loop held meanwhile. */
function waitWhile(heard: Heard, last: number): void {
  while (Atomics.load(heard, 0) === last)
    if (Atomics.wait(heard, 0, last, waitMs) === "timed-out") throw new Error(`nothing heard after ${last}`);
}

/** Looks once in every turn of the event loop. */
async function eventually(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + waitMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("it has not come to that");
    await new Promise(setImmediate);
  }
}

/** A listener with a shelf, and the channels that it has told of. */
function serveShelf(socket: string, shelf: NativeShelf) {
  const accepted: NativeChannel[] = [];
  const changes = new Changes();
  const listener = native.listen(
    socket,
    { mode: 0o600, backlog: 5, shelf },
    (channel) => {
      accepted.push(channel);
      changes.changed();
    },
    (error) => {
      throw error;
    },
  );
  onTestFinished(() => {
    listener.close();
    for (const channel of accepted) channel.close();
  });
  return { listener, accepted, changes };
}

test("the frames have come before the owner's event loop has turned", async () => {
  const socket = socketPath();
  const { accepted, changes, listener } = serveShelf(socket, shelfWith("v1", "frames", 2));
  const { heard, thread } = await clientThread(socket);
  thread.postMessage("go");
  waitWhile(heard, 0);
  expect(accepted).toEqual([]);
  await changes.until(() => accepted.length === 1);
  const far = started(accepted[0] as NativeChannel);
  await far.events.until(() => far.events.received === hello.length + request("a").length);
  expect(far.channel.takeAhead("a")).toBe("v1");
  expect(far.channel.peer).toMatchObject({ pid: process.pid, uid: me });
  expect(far.channel.peer.startTime).not.toBe("");
  far.channel.close();
  listener.close();
  waitWhile(heard, 1);
});

test("so it is of a listening socket that was adopted", async () => {
  const socket = socketPath();
  const shelf = shelfWith("v1", "frames", 1);
  const first = native.listen(
    socket,
    { mode: 0o600, backlog: 5 },
    () => {},
    () => {},
  );
  const fd = first.detach();
  const accepted: NativeChannel[] = [];
  const second = native.adoptListener(
    fd,
    (channel) => accepted.push(channel),
    () => {},
    false,
    shelf,
  );
  fd.close();
  const { heard, thread } = await clientThread(socket);
  thread.postMessage("go");
  waitWhile(heard, 0);
  expect(accepted).toEqual([]);
  second.close();
});

test.each(["close", "detach"] as const)(
  "%s with a connection that has been served but not told of ends it",
  async (end) => {
    const socket = socketPath();
    const { accepted, listener } = serveShelf(socket, shelfWith("v1", "frames", 1));
    const { heard, thread } = await clientThread(socket);
    thread.postMessage("go");
    waitWhile(heard, 0);
    const left = listener[end]();
    await eventually(() => Atomics.load(heard, 0) === 2);
    expect(accepted).toEqual([]);
    left?.close();
  },
);

// The owner is a thread, and the client is this one.
const owner = `
  const { workerData, parentPort } = require("node:worker_threads");
  const { native } = require(workerData.addon);
  const shelf = native.createShelf([process.getuid()]);
  shelf.put("llm", "v1", null, Buffer.from("frames"), [native.createSealedMemfd("shelf", Buffer.from("1"))]);
  globalThis.kept = [];
  globalThis.listener = native.listen(workerData.socket, { mode: 0o600, backlog: 5, shelf }, (channel) => {
    kept.push(channel);
    parentPort.postMessage("accepted");
  }, () => {});
  listener.ref();
  parentPort.postMessage("listening");
  if (workerData.stuck) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);`;

test.each([
  ["with a channel that it was told of and has not started", false],
  ["with a channel that it could not be told of", true],
])("a thread that ends %s leaves nothing", async (_, stuck) => {
  const socket = socketPath();
  const before = openFds();
  const thread = new Worker(owner, { eval: true, workerData: { socket, addon, stuck } });
  const said: string[] = [];
  const changes = new Changes();
  thread.on("message", (message) => {
    said.push(message);
    changes.changed();
  });
  await changes.until(() => said.includes("listening"));
  const near = started(await native.connect(socket));
  const sent = file("");
  near.channel.send(all(hello, request("a")), [sent]);
  sent.close();
  await near.events.until(() => near.events.received === 6 && near.events.fds.length === 1);
  if (!stuck) await changes.until(() => said.includes("accepted"));
  await thread.terminate();
  await near.events.closed();
  near.events.closeFds();
  near.channel.close();
  await eventually(() => openFds() <= before);
});

test("channels that were never started are closed when collected", async () => {
  const collected = gc!;
  const shelf = shelfWith("v1", "frames");
  const [channel, fd] = native.socketPair();
  const near = started(channel);
  channel.send(all(hello, request("a")), []);
  (() => native.adoptChannel(fd, shelf))();
  await near.events.until(() => near.events.received === 6);
  await eventually(() => {
    collected();
    return near.events.closes.length === 1;
  });
});

test("what lies on a shelf stays there when a channel takes its descriptor over", async () => {
  const [channel, fd] = native.socketPair();
  const shelf = native.createShelf([me]);
  shelf.put("llm", "v1", null, Buffer.from("frames"), [fd]);
  const adopted = native.adoptChannel(fd);
  const both = served(shelf, all(hello, request("a")));
  expect(await heardBefore(both)).toBe("frames");
  expect(both.near.events.fds).toHaveLength(1);
  shelf.clear();
  channel.close();
  adopted.close();
});

test("a shelf that JavaScript has forgotten serves the channels that have it", async () => {
  const [channel, fd] = native.socketPair();
  const near = started(channel);
  channel.send(hello);
  const far = ((shelf) => native.adoptChannel(fd, shelf))(shelfWith("v1", "frames"));
  gc!();
  channel.send(request("a"));
  await near.events.until(() => near.events.received === 6);
  near.channel.close();
  far.close();
});
