// What a shelf and its channels hold, and when they let go of it.
import { expect, test } from "vitest";
import { native } from "../../dist/lib/native.js";
import { started } from "./helpers.js";
import {
  all,
  eventually,
  file,
  heardBefore,
  hello,
  me,
  openFiles,
  request,
  served,
  shelfWith,
} from "./shelf-helpers.js";

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
