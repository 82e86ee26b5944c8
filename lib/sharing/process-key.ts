import { readFileSync, readlinkSync } from "node:fs";
import { randomId } from "./ids.js";

interface Here {
  /** Differs after every start of the machine. */
  boot: string;
  /** In which pids mean what they mean here. */
  namespace: string;
}

let known: Here | undefined;

function here(): Here {
  known ??= { boot: read(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8")), namespace: pids() };
  return known;
}

/** Names this start of the machine: memory and processes of another one are gone. */
export function bootId(): string {
  return here().boot;
}

/**
 * Names one instance of a process for good, on paper too. A process that this one's PID namespace does not show has
 * no name here: each connection stands for itself.
 */
export function processKey({ pid, startTime }: { pid: number; startTime: string }): string {
  return startTime === "" ? `unnamed ${randomId()}` : `${ownPrefix()}${pid} ${startTime}`;
}

/** Whether the pid in a key is one of this process's namespace, so that it can be looked at here. */
export function isNamedHere(key: string): boolean {
  return key.startsWith(ownPrefix());
}

/** The process that a key of this namespace names; undefined for others. */
export function processOfKey(key: string): { pid: number; startTime: string } | undefined {
  if (!isNamedHere(key)) return undefined;
  const [pid, startTime] = key.slice(ownPrefix().length).split(" ");
  return { pid: Number(pid), startTime: startTime! };
}

function ownPrefix(): string {
  return `${here().boot} ${here().namespace} `;
}

function pids(): string {
  return read(() => readlinkSync("/proc/self/ns/pid"));
}

/** What the system does not tell is random: it equals nothing that another process has written down. */
function read(source: () => string): string {
  try {
    return source().trim();
  } catch {
    return randomId();
  }
}
