import { createHash, randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { native } from "../../dist/lib/native.js";
import { connectedPair, serve, socketPath, started } from "./helpers.js";

const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

test.each([1, 2, 253, 4095, 4096, 65_535, 65_536, 65_537, 212_992, 1_000_003, 8 << 20])(
  "%i bytes come back as they were sent",
  async (size) => {
    const socket = socketPath();
    serve(socket, (channel) => {
      started(channel, (bytes) => void channel.send(bytes));
    });
    const { channel, events } = started(await native.connect(socket));
    const bytes = randomBytes(size);
    channel.send(bytes);
    await events.until(() => events.received === size);
    expect(digest(events.bytes())).toBe(digest(bytes));
    channel.close();
    await events.closed();
    expect(events.closes).toEqual([null]);
  },
);

test("order is kept between what was queued and what follows", async () => {
  const [near, far] = await connectedPair();
  far.channel.pause();
  const expected: Buffer[] = [];
  let queued = 0;
  for (let i = 0; i < 2_000; ++i) {
    const bytes = Buffer.alloc(1 + ((i * 37) % 1_500), i % 251);
    expected.push(bytes);
    if (!near.channel.send(bytes)) ++queued;
    if (i === 1_000) far.channel.resume();
  }
  expect(queued).toBeGreaterThan(0);
  const all = Buffer.concat(expected);
  await far.events.until(() => far.events.received === all.length);
  expect(digest(far.events.bytes())).toBe(digest(all));
});

test("bytes handed to send() may be changed at once", async () => {
  const [near, far] = await connectedPair();
  far.channel.pause();
  const bytes = Buffer.alloc(4 << 20, 7);
  expect(near.channel.send(bytes)).toBe(false);
  bytes.fill(9);
  far.channel.resume();
  await far.events.until(() => far.events.received === bytes.length);
  expect(far.events.bytes().every((byte) => byte === 7)).toBe(true);
});

test("events are called as methods of their object", async () => {
  const socket = socketPath();
  serve(socket, (channel) => channel.send(Buffer.from("hello")));
  const channel = await native.connect(socket);
  const seen = await new Promise((resolve) => {
    const events = {
      onData() {
        resolve(this);
      },
      onDrain() {},
      onClose() {},
    };
    native.startChannel(channel, events);
    channel.ref();
    expect(events).toBeDefined();
  });
  expect(Object.keys(seen as object)).toEqual(["onData", "onDrain", "onClose"]);
  channel.close();
});
