import { spawn } from "node:child_process";
import { once } from "node:events";
import { fstatSync, readFileSync, readSync, writeSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { type ChannelEvents, type NativeFd, native } from "../../dist/lib/native.js";

/** The first data that arrives, and the end. */
function listen(): {
  events: ChannelEvents;
  data: Promise<[Buffer, NativeFd[]]>;
  closed: Promise<Error | null>;
} {
  let onData!: (arrived: [Buffer, NativeFd[]]) => void;
  let onClose!: (error: Error | null) => void;
  const data = new Promise<[Buffer, NativeFd[]]>((resolve) => {
    onData = resolve;
  });
  const closed = new Promise<Error | null>((resolve) => {
    onClose = resolve;
  });
  return { data, closed, events: { onData: (...arrived) => onData(arrived), onDrain: () => {}, onClose } };
}

test("a pair's ends are connected, and carry descriptors", async () => {
  const [one, end] = native.socketPair();
  const other = native.adoptChannel(end);
  expect(end.fd).toBe(-1);
  expect(one.peer.pid).toBe(process.pid);
  const [here, there] = [listen(), listen()];
  native.startChannel(one, here.events);
  native.startChannel(other, there.events);
  one.ref();
  const file = native.createMemfd("note", 5);
  writeSync(file.fd, "hello", 0);
  one.send(Buffer.from("x"), [file]);
  file.close();
  const [bytes, fds] = await there.data;
  expect(bytes.toString()).toBe("x");
  const text = Buffer.alloc(8);
  expect(text.toString("utf8", 0, readSync(fds[0]!.fd, text, 0, 8, 0))).toBe("hello");
  fds[0]!.close();
  other.close();
  expect(await here.closed).toBeNull();
});

test("what is no Unix socket is not adopted, and stays open", () => {
  const file = native.createMemfd("not a socket", 0);
  expect(() => native.adoptChannel(file)).toThrow(
    expect.objectContaining({ code: "ERR_CUDA_IPC_INVALID_ARGUMENT" }),
  );
  expect(file.fd).toBeGreaterThan(0);
  file.close();
});

test("a file in memory has its size, and no child inherits it", () => {
  const file = native.createMemfd("x".repeat(1000), 3 << 20);
  expect(fstatSync(file.fd).size).toBe(3 << 20);
  const flags = /flags:\s*([0-7]+)/.exec(readFileSync(`/proc/self/fdinfo/${file.fd}`, "utf8"))![1]!;
  expect(Number.parseInt(flags, 8) & 0o2000000).not.toBe(0);
  file.close();
  expect(() => native.createMemfd("x", -1)).toThrow(
    expect.objectContaining({ code: "ERR_CUDA_IPC_INVALID_ARGUMENT" }),
  );
});

test("dieWithParent: the process ends when the one that started it does", async () => {
  const parent = spawn(process.execPath, [path.join(__dirname, "children/parent.cjs")], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await once(parent.stdout!, "data");
  const pid = Number(line);
  const ended = new Promise<void>((resolve) => {
    native.watchProcess(pid, undefined, resolve);
  });
  parent.kill("SIGKILL");
  await ended;
});
