import type { CudaIpcError } from "../../errors.js";
import { type NativeFd, native } from "../../native.js";
import { isStoreName } from "./names.js";

/** The first descriptor that a service manager passes, and more than it ever would. */
const first = 3;
const most = 1 << 16;

const variables = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES"];

/** A descriptor as it was passed. It belongs to whoever knows its name. */
interface Passed {
  readonly number: number;
  readonly name: string;
}

/**
 * What a service manager passed to this process when it started it: what it had in store, and sockets that listen.
 * Several owners of one process share it. What the library did not name itself stays as it is.
 */
export class PassedFds {
  private static taken: PassedFds | undefined;
  /** How many of them have come out of the store: they are in it still. */
  readonly inStore: number;
  private readonly own = new Map<string, NativeFd[]>();
  private readonly listening = new Map<string, number>();
  private readonly listeners = new Map<string, NativeFd>();

  private constructor(passed: readonly Passed[]) {
    let inStore = 0;
    for (const { number, name } of passed) {
      const path = native.listeningPath(number);
      if (path) this.listening.set(path, number);
      if (path !== undefined) continue;
      inStore++;
      const fd = isStoreName(name) ? adopted(number) : undefined;
      if (fd !== undefined) this.own.set(name, [...(this.own.get(name) ?? []), fd]);
    }
    this.inStore = inStore;
  }

  /** Takes all of it over, once for the process, out of the environment of the children to come. */
  static take(): PassedFds {
    if (PassedFds.taken === undefined) {
      PassedFds.taken = new PassedFds(announced());
      for (const name of variables) delete process.env[name];
    }
    return PassedFds.taken;
  }

  /** Whether a socket that listens at the path was passed, taken over or not. */
  static includesListener(path: string): boolean {
    const passed = PassedFds.taken?.listening.has(path);
    return passed || announced().some(({ number }) => native.listeningPath(number) === path);
  }

  /** The socket that listens at the path: it stays this object's, for whoever listens there next. */
  listener(path: string): NativeFd | undefined {
    const number = this.listening.get(path);
    const fd = this.listeners.get(path) ?? (number === undefined ? undefined : adopted(number));
    if (fd !== undefined) this.listeners.set(path, fd);
    return fd;
  }

  /** What was stored under names that `wanted` knows: several may have one name. It stays this object's. */
  stored(wanted: (name: string) => boolean): Map<string, readonly NativeFd[]> {
    return new Map([...this.own].filter(([name]) => wanted(name)));
  }

  /** Hands it on. */
  takeStored(wanted: (name: string) => boolean): Map<string, NativeFd[]> {
    const found = new Map([...this.own].filter(([name]) => wanted(name)));
    for (const name of found.keys()) this.own.delete(name);
    return found;
  }
}

/** What is not open was not passed, whatever the environment says. */
function adopted(number: number): NativeFd | undefined {
  try {
    return native.adoptFd(number);
  } catch (error) {
    if ((error as CudaIpcError).code === "ERR_CUDA_IPC_INVALID_ARGUMENT") return undefined;
    throw error;
  }
}

/** What the environment says was passed to this process and no other. */
function announced(): Passed[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES = "" } = process.env;
  if (LISTEN_PID !== String(process.pid)) return [];
  const count = Number(LISTEN_FDS);
  if (!Number.isInteger(count) || count < 0 || count > most) return [];
  const names = LISTEN_FDNAMES.split(":");
  return Array.from({ length: count }, (_, n) => ({ number: first + n, name: names[n] || "unknown" }));
}
