// A process that does nothing but stand by lives for as long as it may be needed, and no longer.
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { startOwner } from "../helpers/sharing.js";
import { kill, startMortal } from "../helpers/survival.js";

const program = path.join(__dirname, "../children/standby.cjs");

/** A child without a channel to this process, which would keep it alive; the lines that it writes, and its end. */
function start(...args: string[]) {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  return {
    lines: createInterface(child.stdout)[Symbol.asyncIterator](),
    ended: once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>,
  };
}

test("it takes over, and ends when that owner is closed", async () => {
  const mortal = await startMortal();
  const { lines, ended } = start(mortal.socket);
  expect(await lines.next()).toMatchObject({ value: "standing by" });
  await kill(mortal.child);
  expect(await lines.next()).toMatchObject({ value: "taken over" });
  expect(await ended).toEqual([0, null]);
});

test.each(["close", "unref"])("after %s it ends by itself", async (what) => {
  const owner = await startOwner();
  const { lines, ended } = start(owner.socket, what);
  expect(await lines.next()).toMatchObject({ value: "standing by" });
  expect(await ended).toEqual([0, null]);
});
