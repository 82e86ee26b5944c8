import { expect, test } from "vitest";
import type { NativeChannel } from "../../dist/lib/native.js";
import { child, serve, socketPath, started } from "./helpers.js";

const fine = { code: 0, signal: null, errors: "" };

test.each(["connected", "started", "listening", "traffic", "watching", "exit-in-callback"])(
  "a process ends by itself, with status 0, at stage: %s",
  async (stage) => {
    const socket = socketPath();
    serve(socket, (channel) => {
      started(channel);
      channel.send(Buffer.alloc(200_000));
    });
    expect(await child("end_at", [stage, socket]).exit).toEqual(fine);
  },
);

test("channels that were never started are closed when collected, and so are descriptors", async () => {
  const socket = socketPath();
  const server = serve(socket);
  const other = child("collect", [socket], { node: ["--expose-gc"] });
  await server.changes.until(() => server.accepted.length === 50);
  const ends = server.accepted.map((channel) => started(channel));
  await Promise.all(ends.map(({ events }) => events.closed()));
  await other.line("left 0");
  expect(await other.exit).toEqual(fine);
});

test("a started channel is not collected, whoever has forgotten it", async () => {
  const socket = socketPath();
  const server = serve(socket);
  const other = child("forget", [socket], { node: ["--expose-gc"] });
  await other.line("collected");
  const { channel } = started(server.accepted[0] as NativeChannel);
  channel.send(Buffer.from("still there?"));
  await other.line("still there?");
  expect(await other.exit).toEqual(fine);
});

test("worker_threads in the middle of traffic are terminated, 20 times", async () => {
  const other = child("terminate_workers", [socketPath()]);
  expect(await other.exit).toEqual(fine);
  expect(other.lines).toEqual(["terminated 20", "leaked 0"]);
});

test("an exception thrown by a listener is uncaught, and the channel goes on", async () => {
  const socket = socketPath();
  serve(socket, (channel) => {
    started(channel);
    channel.send(Buffer.from("data"));
  });
  const other = child("throw_in_listener", [socket]);
  expect(await other.exit).toEqual(fine);
  expect(other.lines).toEqual(["uncaught onData", "uncaught onClose"]);
});
