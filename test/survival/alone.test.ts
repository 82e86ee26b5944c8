// A process that does nothing but stand by, or be the owner, lives for as long as it is needed, and no longer.
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { expect, test, vi } from "vitest";
import { attach, Owner } from "../../dist/lib/index.js";
import { MirrorSource } from "../../dist/lib/sharing/mirror-source.js";
import { watchOwner } from "../helpers/leaks.js";
import { folder, startOwner } from "../helpers/sharing.js";
import { kill, rawClient, startMortal } from "../helpers/survival.js";
import { newSocket } from "../helpers/temporary.js";

const program = path.join(__dirname, "../children/alone.cjs");

/** A child without a channel to this process, which would keep it alive. */
function start(...args: string[]) {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    child,
    line: async () => (await lines.next()).value,
    ended: once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>,
  };
}

test("a standby takes over, and ends when that owner is closed", async () => {
  const mortal = await startMortal();
  const { line, ended } = start("standby", mortal.socket);
  expect(await line()).toBe("standing by");
  await kill(mortal.child);
  expect(await line()).toBe("taken over");
  expect(await ended).toEqual([0, null]);
});

test.each(["close", "unref"])("after %s a standby ends by itself", async (what) => {
  const owner = await startOwner();
  const { line, ended } = start("standby", owner.socket, what);
  expect(await line()).toBe("standing by");
  expect(await ended).toEqual([0, null]);
});

test("a standby waits for what it is sent unasked", async () => {
  const owner = await startOwner();
  await owner.load("set", { w: new Float32Array(4) });
  const sending = MirrorSource.prototype as unknown as { sendMemory(...args: unknown[]): void };
  const { sendMemory } = sending;
  const held = new Promise<() => void>((resolve) => {
    vi.spyOn(sending, "sendMemory").mockImplementationOnce(function (this: unknown, ...args) {
      resolve(() => sendMemory.apply(this, args));
    });
  });
  const { child, line, ended } = start("standby", owner.socket, "close");
  const send = await held;
  child.kill("SIGUSR2");
  expect(await line()).toBe("still here");
  send();
  expect(await line()).toBe("standing by");
  expect(await ended).toEqual([0, null]);
});

test("who waits for a lock waits on when the owner is killed", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", { w: new Float32Array(4) }, { writable: true });
  const weights = await attach("set", { socket });
  const lock = await weights.lock("L");
  const { child, line, ended } = start("locker", socket);
  expect(await line()).toBe("waiting");
  await kill(mortal.child);
  expect(await line()).toBe("owner lost");
  child.kill("SIGUSR2");
  expect(await line()).toBe("still here");
  const next = await startMortal(socket);
  await next.child.event("recovered");
  await lock.release();
  expect(await line()).toBe("granted");
  expect(await ended).toEqual([0, null]);
  await weights.release();
});

test("an owner hears that it was handed over, and ends", async () => {
  const socket = newSocket(folder);
  const { line, ended } = start("owner", socket, "vmm");
  expect(await line()).toBe("serving");
  const successor = watchOwner(await Owner.takeOver({ socket }));
  expect(await line()).toBe("handed over");
  expect(await ended).toEqual([0, null]);
  expect(successor.current("set")).toMatchObject({ presence: "present" });
});

test("an owner that is being handed over stays until its successor has taken everything", async () => {
  const socket = newSocket(folder);
  const { child, line, ended } = start("owner", socket, "vmm");
  expect(await line()).toBe("serving");
  const successor = await rawClient(socket);
  const { fds } = await successor.request("handover", {});
  // It listens no more, and asks the successor nothing.
  child.kill("SIGUSR2");
  expect(await line()).toBe("still here");
  await successor.request("handoverTaken", {});
  expect(await line()).toBe("handed over");
  expect(await ended).toEqual([0, null]);
  for (const fd of fds) fd.close();
  successor.close();
});

test("an owner whose successor is gone half way goes on", async () => {
  const socket = newSocket(folder);
  const { child, line, ended } = start("owner", socket, "vmm");
  expect(await line()).toBe("serving");
  const successor = await rawClient(socket);
  const { fds } = await successor.request("handover", {});
  for (const fd of fds) fd.close();
  successor.close();
  await (await attach("set", { socket })).release();
  child.kill("SIGTERM");
  expect(await line()).toBe("closed");
  expect(await ended).toEqual([0, null]);
});

test("an owner that does not keep its process does so while it closes", async () => {
  const socket = newSocket(folder);
  const { child, line, ended } = start("unref'd owner", socket);
  expect(await line()).toBe("serving");
  const weights = await attach("set", { socket });
  expect(await line()).toBe("closing");
  child.kill("SIGUSR2");
  expect(await line()).toBe("still here");
  await weights.release();
  expect(await line()).toBe("closed");
  expect(await ended).toEqual([0, null]);
});

test("an owner that closes waits for the holders of `ipc` memory", async () => {
  const socket = newSocket(folder);
  const { child, line, ended } = start("owner", socket, "ipc");
  expect(await line()).toBe("serving");
  const weights = await attach("set", { socket });
  child.kill("SIGTERM");
  const checksum = await weights.computeChecksum();
  expect(checksum).toBe(weights.checksum);
  expect(child.exitCode).toBe(null);
  await weights.release();
  expect(await line()).toBe("closed");
  expect(await ended).toEqual([0, null]);
});
