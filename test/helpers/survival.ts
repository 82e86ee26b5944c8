// Owners that die, and what comes after them.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { AttachOptions, Owner } from "../../dist/lib/index.js";
import { native } from "../../dist/lib/native.js";
import { ClientConnection } from "../../dist/lib/wire/client.js";
import { type Child, startChild } from "./child.js";
import { inspect } from "./inspect.js";
import { folder, startOwner, startWorker } from "./sharing.js";
import { newSocket } from "./temporary.js";

/** What an owner process tells of a version. */
export interface VersionFacts {
  id: string;
  number: number;
  set: string;
  state: string;
  checksum: string;
  bytes: number;
  refCount: number;
  presence: string;
}

/** An owner in a process of its own, to be killed. */
export async function startMortal(
  socket = newSocket(folder),
  options: object = {},
  through: readonly string[] = [],
) {
  const child = startChild("owner.cjs", {}, through);
  await child.call("listen", { socket, ...options });
  return {
    child,
    socket,
    load: (name: string, source: unknown, load?: object) =>
      child.call<VersionFacts>("load", name, source, load),
  };
}

/** A PID namespace of its own: from there, processes outside have no pid. Needs root. */
export const apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
export const canUnshare = spawnSync(apart[0]!, [...apart.slice(1), "true"]).status === 0;

/** Kills a process and returns when nothing of it is left. */
export async function kill(child: Child): Promise<void> {
  child.kill("SIGKILL");
  await child.exited;
}

/** Stops a process and returns when it runs no more. */
export async function stop(child: Child): Promise<void> {
  child.stop();
  await stopped(child);
}

/** That it is: one that stops itself must not be stopped by another too, or it would do so when it is resumed. */
export async function stopped(child: Child): Promise<void> {
  child.stopsItself();
  const state = () => readFileSync(`/proc/${child.pid}/stat`, "utf8").replace(/^.*\) /s, "")[0]!;
  await inspect.watchFor(state, (seen) => seen === "T");
}

/** A worker that holds a lease; `key` names it in further calls. */
export async function startHolder(set: string, options: AttachOptions) {
  const worker = await startWorker();
  const key = await worker.call<number>("attach", set, options);
  return { worker, key };
}

/** An owner in this process, and what it says of the one before it. */
export async function startSuccessor(socket: string, options: object = {}) {
  const owner = await startOwner({ socket, ...options });
  const lost: string[] = [];
  const refused: string[] = [];
  owner.on("lost", ({ set, number }) => lost.push(`${set} ${number}`));
  owner.on("refusedoffer", ({ code, message }) => refused.push(`${code} ${message}`));
  return { owner, lost, refused };
}

/** Settles when the owner counts that many leases on a version, which may be a lower bound. */
export async function counted(owner: Owner, id: string, count: number): Promise<void> {
  await owner
    .versions()
    .find((version) => version.id === id)!
    .waitForRefCount((now) => now === count);
}

/** A client without any sense of honour: sends what the test says. */
export async function rawClient(socket: string): Promise<ClientConnection> {
  return new ClientConnection({
    channel: await native.connect(socket),
    start: native.startChannel,
    hello: {
      client: { name: "raw", version: "0" },
      driver: { provider: native.chosenProvider(), version: null },
      devices: null,
    },
  });
}
