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

const ofRoot = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
const ofAnyUser = ["unshare", "--user", "--map-root-user", ...ofRoot.slice(1)];
const works = ([command, ...args]: string[]) => spawnSync(command!, [...args, "true"]).status === 0;
const namespace = [ofRoot, ofAnyUser].find(works);

/**
 * How to start an owner from where processes outside have no pid: in a PID namespace of its own, where the system lets
 * this user make one, and as if it were in one (children/apart.cjs), which works everywhere.
 */
export const apart: readonly (readonly [how: string, through: readonly string[]])[] = [
  ...(namespace === undefined ? [] : [["in a PID namespace of its own", namespace] as const]),
  ["as if in a PID namespace of its own", ["env", "CUDA_IPC_TEST_APART=1"]],
];

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
