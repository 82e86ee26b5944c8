import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type NativeChannel, native } from "../../dist/lib/native.js";
import { child, openFds, serve, socketPath, started } from "./helpers.js";

const startTimeOf = (pid: number | undefined) =>
  readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ")[19];
const monotonic = () => Number(process.hrtime.bigint()) / 1e6;

test("the peer of a connection is known, on both sides", async () => {
  const socket = socketPath();
  const server = serve(socket);
  const other = child("connect_many", [socket, "1"]);
  await server.changes.until(() => server.accepted.length === 1);
  const { peer } = server.accepted[0] as NativeChannel;
  expect(peer).toEqual({
    pid: other.process.pid,
    uid: process.getuid?.(),
    gid: process.getgid?.(),
    startTime: startTimeOf(other.process.pid),
    command: readFileSync(`/proc/${other.process.pid}/comm`, "utf8").trim(),
  });
  const channel = await native.connect(socket);
  expect(channel.peer.pid).toBe(process.pid);
  expect(channel.peer.startTime).toBe(startTimeOf(process.pid));
  channel.close();
  expect(channel.peer.pid).toBe(process.pid);
  const unasked = await native.connect(socket);
  unasked.close();
  expect(() => unasked.peer).toThrow(expect.objectContaining({ code: "ERR_CUDA_IPC_CLOSED" }));
});

test("a peer's name may look like what stands around it in /proc", async () => {
  const socket = socketPath();
  const server = serve(socket);
  const other = child("connect_many", [socket, "1"], { node: ["--title=a) R 1 (b"] });
  await server.changes.until(() => server.accepted.length === 1);
  const { peer } = server.accepted[0] as NativeChannel;
  expect(peer).toMatchObject({ startTime: startTimeOf(other.process.pid), command: "a) R 1 (b" });
});

test("a SIGKILLed peer is heard of once, and its channel ends", async () => {
  const socket = socketPath();
  const server = serve(socket);
  const other = child("connect_many", [socket, "1"]);
  await server.changes.until(() => server.accepted.length === 1);
  const { channel, events } = started(server.accepted[0] as NativeChannel);
  let exits = 0;
  const exited = new Promise<void>((resolve) => {
    const watch = channel.watchPeer(() => {
      ++exits;
      expect(watch.exited).toBe(true);
      expect(watch.exitedAt).toBeGreaterThanOrEqual(killedAt);
      expect(watch.exitedAt).toBeLessThanOrEqual(monotonic());
      resolve();
    });
    expect(watch.exited).toBe(false);
    expect(watch.exitedAt).toBeUndefined();
    expect(watch.pid).toBe(other.process.pid);
    expect(watch.startTime).toBe(channel.peer.startTime);
  });
  const killedAt = monotonic();
  other.process.kill("SIGKILL");
  await Promise.all([exited, events.closed()]);
  await other.exit;
  expect(exits).toBe(1);
  expect(events.closes).toHaveLength(1);
});

test("a watch outlives its channel, and a closed watch says nothing", async () => {
  const socket = socketPath();
  const server = serve(socket);
  const other = child("connect_many", [socket, "1"]);
  await server.changes.until(() => server.accepted.length === 1);
  const { channel, events } = started(server.accepted[0] as NativeChannel);
  const silent = channel.watchPeer(() => {
    throw new Error("closed watches are silent");
  });
  const exited = new Promise<void>((resolve) => void channel.watchPeer(resolve));
  silent.close();
  silent.close();
  channel.close();
  await events.closed();
  expect(() => channel.watchPeer(() => {})).toThrow(expect.objectContaining({ code: "ERR_CUDA_IPC_CLOSED" }));
  other.process.kill("SIGKILL");
  await exited;
  expect(silent.exited).toBe(false);
});

test("a peer that died before it was watched is heard of", async () => {
  const socket = socketPath();
  const server = serve(socket);
  const other = child("connect_many", [socket, "1"]);
  await server.changes.until(() => server.accepted.length === 1);
  other.process.kill("SIGKILL");
  await other.exit;
  const channel = server.accepted[0] as NativeChannel;
  await new Promise<void>((resolve) => void channel.watchPeer(resolve));
});

test("processes are watched by pid and start time", async () => {
  const before = openFds();
  const other = child("hold_lock", [`${socketPath()}.lock`]);
  await other.line("held");
  const pid = other.process.pid as number;
  expect(() => native.watchProcess(pid, "1", () => {})).toThrow(
    expect.objectContaining({ code: "ERR_CUDA_IPC_PEER_UNPROVEN" }),
  );
  for (const wrong of [0, -1, 1.5, 2 ** 40])
    expect(() => native.watchProcess(wrong, undefined, () => {})).toThrow(
      expect.objectContaining({ code: "ERR_CUDA_IPC_INVALID_ARGUMENT" }),
    );
  const startTime = startTimeOf(pid);
  const exits = [startTime, undefined].map((given) => {
    return new Promise<void>((resolve) => {
      const watch = native.watchProcess(pid, given, resolve);
      expect(watch.startTime).toBe(startTime);
    });
  });
  other.process.kill("SIGKILL");
  await Promise.all(exits);
  await other.exit;
  const dead = await new Promise((resolve) => {
    const watch = native.watchProcess(pid, startTime, () => resolve(watch));
    expect(watch.startTime).toBe(startTime);
  });
  expect(dead).toMatchObject({ pid, exited: true });
  expect(openFds()).toBeLessThanOrEqual(before + 2);
});
