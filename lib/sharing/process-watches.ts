import { CudaIpcError } from "../errors.js";
import { type NativeChannel, type NativeProcess, native } from "../native.js";
import type { ProcessIdentity } from "./ledger.js";
import { isNamedHere, processKey } from "./process-key.js";
import { startTimeOf } from "./start-time.js";

interface Watched {
  identity: ProcessIdentity;
  watch: NativeProcess | undefined;
}

/**
 * One pidfd for each process instance that is or was connected, however many connections it has. It outlives
 * the connections: a closed connection is not a dead process.
 */
export class ProcessWatches {
  private readonly watched = new Map<string, Watched>();

  constructor(private readonly onExit: (key: string) => void) {}

  /**
   * Who is at the other end of the channel, by the kernel's word. Throws when this process lacks what it takes to watch
   * it (ERR_CUDA_IPC_FD_LIMIT): that passes, and what is noted of a process does not.
   */
  identify(channel: NativeChannel): ProcessIdentity {
    const { peer } = channel;
    const key = processKey(peer);
    const known = this.watched.get(key);
    if (known !== undefined) return known.identity;
    let watch: NativeProcess | undefined;
    try {
      watch = channel.watchPeer(() => this.exited(key));
    } catch (error) {
      // Its death cannot be proven: the ledger grants it no `ipc` lease.
      if (!(error instanceof CudaIpcError) || error.code !== "ERR_CUDA_IPC_PEER_UNPROVEN") throw error;
    }
    const { pid, startTime, uid, command } = peer;
    const identity = { key, pid, startTime, uid, command, proven: watch !== undefined };
    this.watched.set(key, { identity, watch });
    return identity;
  }

  /**
   * Watches a process that another owner has named. False when its death could not be proven; that of one that is
   * dead already is told later, as any other.
   */
  adopt(identity: ProcessIdentity): boolean {
    const { key, pid, startTime } = identity;
    if (this.watched.has(key)) return true;
    if (!isNamedHere(key)) return false;
    try {
      const watch = native.watchProcess(pid, startTime, () => this.exited(key));
      this.watched.set(key, { identity: { ...identity, proven: true }, watch });
      return true;
    } catch {
      const now = startTimeOf(pid);
      if (now === "" || now === startTime) return false;
      // Its pid is somebody else's.
      setImmediate(() => this.exited(key));
      return true;
    }
  }

  /** Whether it is watched: false from its death on. */
  has(key: string): boolean {
    return this.watched.has(key);
  }

  /** Stops watching processes that `needed` does not ask for. */
  prune(needed: (key: string) => boolean): void {
    for (const [key, { watch }] of this.watched) {
      if (needed(key)) continue;
      watch?.close();
      this.watched.delete(key);
    }
  }

  close(): void {
    this.prune(() => false);
  }

  private exited(key: string): void {
    this.watched.get(key)?.watch?.close();
    this.watched.delete(key);
    this.onExit(key);
  }
}
