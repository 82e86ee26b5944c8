import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type NativeFd, native } from "../../dist/lib/native.js";
import { connectedPair, openFds } from "./helpers.js";

/** Descriptors of files that each hold their own number. */
function numberedFiles(count: number): NativeFd[] {
  const directory = mkdtempSync(path.join(tmpdir(), "cuda-ipc-fds-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return Array.from({ length: count }, (_, i) => {
    const fd = openSync(path.join(directory, String(i)), "w+");
    writeSync(fd, `${i}`);
    return native.adoptFd(fd);
  });
}

function numberIn(fd: NativeFd): number {
  const buffer = Buffer.alloc(16);
  return Number(buffer.toString("latin1", 0, readSync(fd.fd, buffer, 0, 16, 0)));
}

const isCloseOnExec = (fd: number) =>
  (Number.parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "0", 8) &
    0o2000000) !==
  0;

test.each([1, 253, 254, 1000])("%i descriptors in one send arrive in order, close-on-exec", async (count) => {
  const before = openFds();
  const files = numberedFiles(count);
  const [near, far] = await connectedPair();
  const bytes = Buffer.from("0123456789");
  near.channel.send(bytes, files);
  // Closed by the sender at once: the channel has its own.
  for (const file of files) file.close();
  await far.events.until(() => far.events.fds.length === count && far.events.received === bytes.length);
  expect(far.events.bytes()).toEqual(bytes);
  expect(far.events.fds.map(numberIn)).toEqual(Array.from({ length: count }, (_, i) => i));
  expect(far.events.fds.every((fd) => isCloseOnExec(fd.fd))).toBe(true);
  far.events.closeFds();
  near.channel.close();
  await far.events.closed();
  await near.events.closed();
  // The listener of the pair is still open, and the thread behind it has two descriptors of its own.
  expect(openFds() - before).toBeLessThanOrEqual(3);
});

test("descriptors that had to be queued arrive once, with the first byte of their buffer", async () => {
  const [near, far] = await connectedPair();
  far.channel.pause();
  const files = numberedFiles(600);
  near.channel.send(Buffer.alloc(2 << 20, 1));
  let at = 0;
  for (const count of [1, 299, 300]) {
    expect(near.channel.send(Buffer.alloc(3 + count, 2), files.slice(at, at + count))).toBe(false);
    at += count;
  }
  for (const file of files) file.close();
  far.channel.resume();
  await far.events.until(() => far.events.received === (2 << 20) + 4 + 302 + 303);
  expect(far.events.fds.map(numberIn)).toEqual(Array.from({ length: 600 }, (_, i) => i));
  far.events.closeFds();
});

test("descriptors are never later than their byte, whatever the frames around it", async () => {
  const [near, far] = await connectedPair();
  const files = numberedFiles(40);
  far.channel.pause();
  // Frames of 3 bytes, every fourth with 4 descriptors: one recvmsg returns tails, frames and heads mixed.
  for (let i = 0; i < 40; ++i)
    near.channel.send(Buffer.alloc(3, i), i % 4 === 0 ? files.slice(i, i + 4) : []);
  far.channel.resume();
  const arrivals: { bytes: number; fds: number }[] = [];
  while (far.events.received < 120) {
    const seen = far.events.chunks.length;
    await far.events.until(() => far.events.chunks.length > seen);
    arrivals.push({ bytes: far.events.received, fds: far.events.fds.length });
  }
  for (const { bytes, fds } of arrivals)
    expect(fds).toBeGreaterThanOrEqual(4 * Math.ceil(Math.ceil(bytes / 3) / 4));
  expect(far.events.fds.map(numberIn)).toEqual(Array.from({ length: 40 }, (_, i) => i));
  far.events.closeFds();
  for (const file of files) file.close();
});

test("what cannot be sent is refused with a code", async () => {
  const [near] = await connectedPair();
  const files = numberedFiles(254);
  const invalid = expect.objectContaining({ code: "ERR_CUDA_IPC_INVALID_ARGUMENT" });
  const { channel } = near;
  // biome-ignore lint/suspicious/noExplicitAny: wrong types on purpose
  const send = channel.send.bind(channel) as (...args: any[]) => boolean;
  expect(() => send(Buffer.alloc(0), files.slice(0, 1))).toThrow(invalid);
  expect(() => send(Buffer.alloc(1), files)).toThrow(invalid);
  expect(() => send("text")).toThrow(invalid);
  expect(() => send(Buffer.alloc(1), {})).toThrow(invalid);
  for (const wrong of [1, "1", null, {}, channel, Object.create(files[0] as NativeFd), [files[0]]])
    expect(() => send(Buffer.alloc(1), [wrong])).toThrow(invalid);
  expect(send(Buffer.alloc(0))).toBe(true);
  for (const file of files) file.close();
  expect(() => send(Buffer.alloc(1), files.slice(0, 1))).toThrow(
    expect.objectContaining({ code: "ERR_CUDA_IPC_CLOSED" }),
  );
  channel.close();
  expect(() => send(Buffer.alloc(1))).toThrow(expect.objectContaining({ code: "ERR_CUDA_IPC_CLOSED" }));
});

test("a long and empty list is refused at its first entry, and not made room for", async () => {
  const long = Array<never>(2 ** 32 - 1);
  const [near] = await connectedPair();
  expect(() => near.channel.send(Buffer.alloc(1), long)).toThrow(
    expect.objectContaining({ code: "ERR_CUDA_IPC_INVALID_ARGUMENT" }),
  );
  const load = { device: 0, base: 8n, sources: [], runs: long };
  expect(() => native.load(load)).toThrow(expect.objectContaining({ code: "ERR_CUDA_IPC_INVALID_ARGUMENT" }));
});

test("a NativeFd is adopted, duplicated and closed", () => {
  const raw = openSync("/dev/null", "r");
  const fd = native.adoptFd(raw);
  expect(fd.fd).toBe(raw);
  expect(isCloseOnExec(raw)).toBe(true);
  const copy = fd.duplicate();
  expect(copy.fd).not.toBe(raw);
  expect(isCloseOnExec(copy.fd)).toBe(true);
  fd.close();
  fd.close();
  expect(fd.fd).toBe(-1);
  expect(() => fstatSync(raw)).toThrow();
  expect(fstatSync(copy.fd).isCharacterDevice()).toBe(true);
  expect(() => fd.duplicate()).toThrow(expect.objectContaining({ code: "ERR_CUDA_IPC_CLOSED" }));
  copy.close();
  const gone = openSync("/dev/null", "r");
  closeSync(gone);
  for (const wrong of [gone, -1, 1.5, Number.NaN, 2 ** 40])
    expect(() => native.adoptFd(wrong)).toThrow(
      expect.objectContaining({ code: "ERR_CUDA_IPC_INVALID_ARGUMENT" }),
    );
});

test("objects of the addon's classes that the application makes hold nothing", () => {
  const fd = native.adoptFd(openSync("/dev/null", "r"));
  const Constructor = fd.constructor as new () => NativeFd;
  const empty = new Constructor();
  expect(empty.fd).toBe(-1);
  empty.close();
  expect(() => empty.duplicate()).toThrow(expect.objectContaining({ code: "ERR_CUDA_IPC_CLOSED" }));
  // biome-ignore lint/suspicious/noExplicitAny: wrong types on purpose
  expect(() => native.startChannel(fd as any, {} as any)).toThrow(
    expect.objectContaining({ code: "ERR_CUDA_IPC_INVALID_ARGUMENT" }),
  );
  fd.close();
});
