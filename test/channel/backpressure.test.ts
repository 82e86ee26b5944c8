import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { connectedPair } from "./helpers.js";

test("a slow reader gets 100 MB whole, and neither side holds more than a bounded amount for it", async () => {
  const [near, far] = await connectedPair();
  const total = 100_000_000;
  const block = Buffer.alloc(250_000);
  const sentDigest = createHash("sha256");
  const receivedDigest = createHash("sha256");
  let mostQueued = 0;
  let received = 0;

  far.events.chunks.push = (chunk) => {
    receivedDigest.update(chunk);
    received += chunk.length;
    // Slow: away for a turn of the event loop after every chunk.
    far.channel.pause();
    setImmediate(() => far.channel.resume());
    return 0;
  };

  for (let sent = 0; sent < total; sent += block.length) {
    block.writeUInt32LE(sent);
    sentDigest.update(block);
    const drains = near.events.log.length;
    if (!near.channel.send(block)) {
      mostQueued = Math.max(mostQueued, near.channel.queuedBytes);
      await near.events.until(() => near.events.log.length > drains);
      expect(near.channel.queuedBytes).toBe(0);
    }
  }
  await far.events.until(() => far.events.received === total);
  expect(received).toBe(total);
  expect(receivedDigest.digest("hex")).toBe(sentDigest.digest("hex"));
  expect(mostQueued).toBeLessThanOrEqual(block.length);
  expect(near.events.log).toContain("drain");
});

test("a channel whose event loop is busy stops reading: the sender is held back", async () => {
  const [near, far] = await connectedPair();
  far.channel.pause();
  let accepted = 0;
  // Far more than the socket's buffer and what a paused channel may hold.
  while (near.channel.send(Buffer.alloc(64 << 10))) accepted += 64 << 10;
  expect(accepted).toBeLessThan(4 << 20);
  expect(near.channel.queuedBytes).toBeGreaterThan(0);
  expect(far.events.received).toBe(0);
  far.channel.resume();
  await near.events.until(() => near.events.log.includes("drain"));
  expect(near.channel.queuedBytes).toBe(0);
});

test("onDrain reaches a channel that is paused", async () => {
  const [near, far] = await connectedPair();
  near.channel.pause();
  far.channel.pause();
  while (near.channel.send(Buffer.alloc(64 << 10)));
  far.channel.resume();
  await near.events.until(() => near.events.log.includes("drain"));
  expect(near.events.log).toEqual(["drain"]);
});
