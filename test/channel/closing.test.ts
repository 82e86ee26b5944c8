import { once } from "node:events";
import net from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { type NativeChannel, native } from "../../dist/lib/native.js";
import { connectedPair, openFds, serve, socketPath, started } from "./helpers.js";

test("everything that was sent before the end is delivered before onClose(null), which comes once", async () => {
  const [near, far] = await connectedPair();
  for (let i = 0; i < 20; ++i) near.channel.send(Buffer.alloc(1_000, i));
  near.channel.close();
  near.channel.close();
  expect(near.channel.fd).toBe(-1);
  await far.events.closed();
  await near.events.closed();
  expect(far.events.received).toBe(20_000);
  expect(far.events.closes).toEqual([null]);
  expect(near.events.closes).toEqual([null]);
  expect(far.events.log.at(-1)).toBe("close");
  far.channel.close();
  expect(far.channel.fd).toBe(-1);
});

test("a peer that half-closes is answered before the connection ends", async () => {
  const socket = socketPath();
  const closes: (Error | null)[] = [];
  const server = serve(socket, (channel) => {
    native.startChannel(channel, {
      onData: (bytes) => void channel.send(Buffer.concat([Buffer.from("answer to "), bytes])),
      onDrain: () => undefined,
      onClose: (error) => closes.push(error),
    });
  });
  const client = net.connect({ path: socket, allowHalfOpen: true });
  onTestFinished(() => void client.destroy());
  const chunks: Buffer[] = [];
  client.on("data", (chunk) => chunks.push(chunk));
  client.end("question");
  await once(client, "end");
  expect(Buffer.concat(chunks).toString()).toBe("answer to question");
  expect(server.accepted).toHaveLength(1);
  expect(closes).toEqual([null]);
});

test("a paused channel keeps what it has, and delivers it with the end once resumed", async () => {
  const [near, far] = await connectedPair();
  far.channel.pause();
  near.channel.send(Buffer.from("last words"));
  near.channel.close();
  await near.events.closed();
  expect(far.events.log).toEqual([]);
  far.channel.resume();
  await far.events.closed();
  expect(far.events.bytes().toString()).toBe("last words");
  expect(far.events.closes).toEqual([null]);
});

test("sending to a peer that has gone ends the channel after what the peer had sent", async () => {
  const socket = socketPath();
  const server = serve(socket);
  const near = started(await native.connect(socket));
  await server.changes.until(() => server.accepted.length === 1);
  const far = server.accepted[0] as NativeChannel;
  far.send(Buffer.from("goodbye"));
  far.close();
  near.channel.send(Buffer.alloc(10));
  await near.events.closed();
  expect(near.events.bytes().toString()).toBe("goodbye");
  // Without an error where the end had been read already.
  expect(near.events.closes.map((error) => (error as { code?: string } | null)?.code)).toBeOneOf([
    [undefined],
    ["ERR_CUDA_IPC_CONNECTION"],
  ]);
  expect(near.events.log.at(-1)).toBe("close");
});

test("what is queued for a peer that goes away ends the channel, once", async () => {
  const [near, far] = await connectedPair();
  far.channel.pause();
  while (near.channel.send(Buffer.alloc(64 << 10)));
  expect(near.channel.queuedBytes).toBeGreaterThan(0);
  far.channel.close();
  await near.events.closed();
  await far.events.closed();
  expect(near.events.closes).toHaveLength(1);
  expect(near.channel.queuedBytes).toBe(0);
  expect(near.events.log).not.toContain("drain");
});

test("a channel closed before it was started still closes once started", async () => {
  const socket = socketPath();
  serve(socket);
  const channel = await native.connect(socket);
  channel.close();
  const { events } = started(channel);
  await events.closed();
  expect(events.closes).toEqual([null]);
  expect(() => native.startChannel(channel, events)).toThrow(
    expect.objectContaining({ code: "ERR_CUDA_IPC_INVALID_STATE" }),
  );
});

test("a closed connection leaves no descriptor behind", async () => {
  const socket = socketPath();
  const server = serve(socket);
  const before = openFds();
  for (let i = 0; i < 20; ++i) {
    const near = started(await native.connect(socket));
    await server.changes.until(() => server.accepted.length === i + 1);
    const far = started(server.accepted[i] as NativeChannel);
    near.channel.close();
    await Promise.all([near.events.closed(), far.events.closed()]);
  }
  expect(openFds()).toBeLessThanOrEqual(before);
});
