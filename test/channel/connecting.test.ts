import { existsSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import { native } from "../../dist/lib/native.js";
import { child, openFds, serve, socketPath, started } from "./helpers.js";

const coded = (code: string) => expect.objectContaining({ code });

test("200 connects at once all arrive, though the backlog holds 4", async () => {
  const socket = socketPath();
  const server = serve(
    socket,
    (channel) => {
      native.startChannel(channel, {
        onData: (bytes) => void channel.send(bytes),
        onDrain: () => undefined,
        onClose: () => undefined,
      });
    },
    4,
  );
  const channels = await Promise.all(Array.from({ length: 200 }, () => native.connect(socket)));
  await Promise.all(
    channels.map(async (channel, i) => {
      const { events } = started(channel);
      channel.send(Buffer.from(`client ${i}`));
      await events.until(() => events.received === `client ${i}`.length);
      expect(events.bytes().toString()).toBe(`client ${i}`);
      channel.close();
      await events.closed();
    }),
  );
  expect(server.accepted).toHaveLength(200);
  expect(server.errors).toEqual([]);
});

test("64 processes connect at once", async () => {
  const socket = socketPath();
  const server = serve(
    socket,
    (channel) => {
      native.startChannel(channel, {
        onData: (bytes) => void channel.send(bytes),
        onDrain: () => undefined,
        onClose: () => undefined,
      });
    },
    8,
  );
  const children = Array.from({ length: 8 }, () => child("connect_many", [socket, "8"]));
  for (const { exit } of children) expect(await exit).toEqual({ code: 0, signal: null, errors: "" });
  expect(server.accepted).toHaveLength(64);
  expect(new Set(server.accepted.map(({ peer }) => peer.pid)).size).toBe(8);
});

const id = "0".repeat(32);

test("who asks has said all of it, however much the kernel takes at once", async () => {
  const socket = socketPath();
  const server = serve(socket);
  const hello = Buffer.alloc(4 * 1024 * 1024, "h");
  const request = JSON.stringify({ type: "attach", set: "größe" });
  const asked = native.ask(socket, hello, request, id, "read")!;
  expect(asked.channel.queuedBytes).toBeGreaterThan(0);
  await server.changes.until(() => server.accepted.length === 1);
  const { events } = started(server.accepted[0]!);
  const text = Buffer.from(request);
  await events.until(() => events.received === hello.length + 4 + text.length);
  const heard = events.bytes();
  expect(heard.subarray(0, hello.length).equals(hello)).toBe(true);
  expect(heard.readUInt32LE(hello.length)).toBe(text.length);
  expect(heard.subarray(hello.length + 4).equals(text)).toBe(true);
  // Nothing has been read yet: it can be started like any other.
  const near = started(asked.channel);
  server.accepted[0]!.send(Buffer.from("answer"));
  await near.events.until(() => near.events.received === "answer".length);
  asked.channel.close();
  await near.events.closed();
});

test("who cannot ask has nothing open", () => {
  const socket = socketPath();
  const hello = Buffer.from("hello");
  expect(() => native.ask(socket, hello, "{}", id, "read")).toThrow(coded("ERR_CUDA_IPC_NO_OWNER"));
  serve(socket);
  const listening = openFds();
  const wrong = [
    [undefined, hello, "{}", id, "read"],
    [socket, "hello", "{}", id, "read"],
    [socket, hello, {}, id, "read"],
    [socket, hello, "{}", undefined, "read"],
    [socket, hello, "{}", id, "write"],
  ] as unknown as Parameters<typeof native.ask>[];
  for (const asking of wrong) {
    expect(() => native.ask(...asking)).toThrow(coded("ERR_CUDA_IPC_INVALID_ARGUMENT"));
  }
  expect(openFds()).toBe(listening);
});

test("nobody to connect to is ERR_CUDA_IPC_NO_OWNER, with and without a file", async () => {
  const socket = socketPath();
  const before = openFds();
  await expect(native.connect(socket)).rejects.toThrow(coded("ERR_CUDA_IPC_NO_OWNER"));
  const { listener } = serve(socket);
  listener.close();
  expect(existsSync(socket)).toBe(true);
  await expect(native.connect(socket)).rejects.toThrow(coded("ERR_CUDA_IPC_NO_OWNER"));
  expect(openFds()).toBeLessThanOrEqual(before + 2);
});

test("a path that is too long, empty or holds a NUL is refused", async () => {
  const long = `/tmp/${"x".repeat(103)}`;
  const listen = (path: string) =>
    native.listen(
      path,
      { mode: 0o600, backlog: 1 },
      () => {},
      () => {},
    );
  expect(() => listen(long)).toThrow(coded("ERR_CUDA_IPC_SOCKET_PATH"));
  await expect(native.connect(long)).rejects.toThrow(coded("ERR_CUDA_IPC_SOCKET_PATH"));
  for (const path of ["", "\0abstract", "/tmp/a\0b"]) {
    expect(() => listen(path)).toThrow(coded("ERR_CUDA_IPC_INVALID_ARGUMENT"));
    await expect(native.connect(path)).rejects.toThrow(coded("ERR_CUDA_IPC_INVALID_ARGUMENT"));
  }
  const atLimit = `${socketPath()}${"y".repeat(200)}`.slice(0, 107);
  serve(atLimit);
  (await native.connect(atLimit)).close();
});

test("a path in use is refused and left alone", () => {
  const socket = socketPath();
  serve(socket);
  expect(() => serve(socket)).toThrow(coded("ERR_CUDA_IPC_ADDRESS_IN_USE"));
  const file = `${socket}.file`;
  writeFileSync(file, "mine");
  expect(() => serve(file)).toThrow(coded("ERR_CUDA_IPC_ADDRESS_IN_USE"));
  expect(lstatSync(file).isFile()).toBe(true);
});

test.each([
  [0o600, 0o022],
  [0o660, 0o077],
  [0o666, 0o000],
  [0o600, 0o777],
])("the socket has mode %o under umask %o", (mode, umask) => {
  const socket = socketPath();
  const before = process.umask(umask);
  try {
    const listener = native.listen(
      socket,
      { mode, backlog: 1 },
      () => {},
      () => {},
    );
    onTestFinished(() => listener.close());
  } finally {
    process.umask(before);
  }
  expect(lstatSync(socket).mode & 0o7777).toBe(mode);
});

test("a file lock is exclusive, ends with close, and does not follow links", () => {
  const file = `${socketPath()}.lock`;
  const lock = native.lockFile(file);
  expect(lock?.held).toBe(true);
  expect(lstatSync(file).mode & 0o777).toBe(0o600);
  expect(native.lockFile(file)).toBeUndefined();
  lock?.close();
  lock?.close();
  expect(lock?.held).toBe(false);
  const again = native.lockFile(file);
  expect(again?.held).toBe(true);
  again?.close();
  symlinkSync(file, `${file}.link`);
  expect(() => native.lockFile(`${file}.link`)).toThrow(coded("ERR_CUDA_IPC_SYSTEM"));
  mkdirSync(`${file}.directory`);
  expect(() => native.lockFile(`${file}.directory`)).toThrow(coded("ERR_CUDA_IPC_SYSTEM"));
});

test("a file lock ends with the process that held it", async () => {
  const file = `${socketPath()}.lock`;
  const holder = child("hold_lock", [file]);
  await holder.line("held");
  expect(native.lockFile(file)).toBeUndefined();
  holder.process.kill("SIGKILL");
  await holder.exit;
  const lock = native.lockFile(file);
  expect(lock?.held).toBe(true);
  lock?.close();
});
