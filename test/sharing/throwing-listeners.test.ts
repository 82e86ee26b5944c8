// What a program's listeners throw is its own uncaught exception, and leaves nothing half done here.
import { once } from "node:events";
import { rmSync } from "node:fs";
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { attach, Owner, type Weights } from "../../dist/lib/index.js";
import { native } from "../../dist/lib/native.js";
import { journalPath } from "../../dist/lib/sharing/socket-path.js";
import { block, MIB, someTensors, startOwner } from "../helpers/sharing.js";
import { kill, rawClient, startMortal } from "../helpers/survival.js";

let uncaught: string[];
beforeEach(() => {
  uncaught = [];
  process.setUncaughtExceptionCaptureCallback((error) => uncaught.push(error.message));
});
afterEach(() => process.setUncaughtExceptionCaptureCallback(null));

const thrower = (message: string) => () => {
  throw new Error(message);
};

test("an owner frees what nobody holds, and closes", async () => {
  const owner = await startOwner();
  owner.on("leaseended", thrower("leaseended"));
  owner.on("freed", thrower("freed"));
  const first = await owner.load("llm", block(MIB, 1));
  const weights = await attach("llm", { socket: owner.socket });
  const second = await owner.load("llm", block(MIB, 2));
  await weights.release();
  await first.whenFreed();
  expect(owner.versions()).toEqual([second]);
  expect(uncaught).toEqual(["leaseended", "freed"]);
  await owner.close();
  expect(uncaught).toEqual(["leaseended", "freed", "freed"]);
});

test("an owner that refuses somebody goes on", async () => {
  const owner = await startOwner({ limits: { connections: 1 } });
  owner.on("peererror", thrower("peererror"));
  const first = await rawClient(owner.socket);
  await first.welcome;
  await expect(attach("llm", { socket: owner.socket })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_CONNECTION_LIMIT",
  });
  expect(uncaught).toEqual(["peererror"]);
  first.close();
});

test("every holder of a version is told what becomes of it, and keeps its line", async () => {
  const owner = await startOwner();
  await owner.load("llm", someTensors(1));
  const held = [
    await attach("llm", { socket: owner.socket }),
    await attach("llm", { socket: owner.socket }),
  ] as [Weights, Weights];
  held[0].on("superseded", thrower("superseded"));
  held[0].on("ownerlost", thrower("ownerlost"));
  const told = once(held[1], "superseded");
  const second = await owner.load("llm", someTensors(2));
  expect(await told).toEqual([{ set: "llm", version: second.id }]);
  expect(uncaught).toEqual(["superseded"]);
  const lost = once(held[1], "ownerlost");
  await owner.close();
  await lost;
  expect(uncaught).toEqual(["superseded", "ownerlost"]);
  for (const weights of held) await weights.release();
});

test("every lock that is lost is told so", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("llm", someTensors(), { writable: true });
  const weights = await attach("llm", { socket });
  const locks = [await weights.lock("first"), await weights.lock("second")] as const;
  locks[0].on("lost", thrower("lost"));
  const told = once(locks[1], "lost");
  await kill(mortal.child);
  // Without it the next owner knows of no lock.
  rmSync(journalPath(socket));
  await startMortal(socket);
  await told;
  expect(locks.map(({ lost }) => lost)).toEqual([true, true]);
  expect(uncaught).toEqual(["lost"]);
  await weights.release();
});

test("a standby mirrors whoever was quicker, once", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("set", someTensors());
  const standby = await Owner.standby({ socket });
  const errors: Error[] = [];
  // First, as those behind one that throws are not called.
  const overtaken = once(standby, "overtaken");
  standby.on("overtaken", thrower("overtaken"));
  standby.on("error", (error) => errors.push(error));
  const lock = vi.spyOn(native, "lockFile").mockReturnValue(undefined);
  onTestFinished(() => lock.mockRestore());
  await kill(mortal.child);
  const next = await startMortal(socket);
  await overtaken;
  await next.child.event("recovered");
  expect([standby.versions, errors, uncaught]).toEqual([1, [], ["overtaken"]]);
  await standby.close();
});

test("a standby takes over", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const standby = await Owner.standby({ socket });
  standby.on("takenover", thrower("takenover"));
  await kill(mortal.child);
  const owner = await standby.owner;
  await owner.close();
  expect(uncaught).toEqual(["takenover"]);
});
