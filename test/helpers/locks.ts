// Worker processes that take locks of one writable set.
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { Owner } from "../../dist/lib/index.js";
import { type Child, startChild } from "./child.js";
import { inspect } from "./inspect.js";
import { startOwner } from "./sharing.js";

/** An owner of the writable set "llm", which has one counter. */
export async function startWritable(options = {}): Promise<Owner> {
  const owner = await startOwner(options);
  await owner.load("llm", { counter: new Uint32Array(1) }, { writable: true });
  return owner;
}

/** A worker process that has attached to it. */
export async function startLocker(owner: { socket: string }, options = {}): Promise<Child> {
  const child = startChild("locker.cjs");
  await child.call("warmUp");
  await child.call("attach", "llm", { socket: owner.socket, ...options });
  return child;
}

/** Asks for a lock, and returns when the owner has put it into the queue as the n-th. */
export async function queueFor(
  owner: Owner,
  child: Child,
  key: string,
  n: number,
  options = {},
  name = "counter",
) {
  const granted = child.call("lock", key, name, options);
  granted.catch(() => {});
  await waiting(owner, n, name);
  return { granted };
}

/** Resolves when so many wait for the lock. */
export async function waiting(owner: Owner, n: number, name = "counter"): Promise<void> {
  const look = () => owner.locks().find((lock) => lock.name === name)?.waiting;
  expect(await inspect.watchFor(look, (seen) => seen === n)).toBe(n);
}

export const holders = (owner: Owner) => owner.locks().map(({ pid }) => pid);

/** The state of a process as the kernel shows it: "R", "S", "T", "Z", ...; "gone" when it has been reaped. */
export function stateOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2)[0]!;
  } catch {
    return "gone";
  }
}
