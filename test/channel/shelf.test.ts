// What lies on a shelf goes to who asks for it before JavaScript has heard of the request, or of the channel.
import { expect, onTestFinished, test } from "vitest";
import { native } from "../../dist/lib/native.js";
import { encodeFrame } from "../../dist/lib/wire/encode.js";
import { started } from "./helpers.js";
import {
  all,
  file,
  heardBefore,
  hello,
  me,
  openFiles,
  request,
  served,
  shelfWith,
  textOf,
} from "./shelf-helpers.js";

const mostNotes = 16;

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
