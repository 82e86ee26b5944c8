import type { NativeChannel, NativePeer, NativeProcess } from "../native.js";
import type { ProcessIdentity } from "./ledger.js";

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
  private unnamed = 0;

  constructor(private readonly onExit: (key: string) => void) {}

  /** Who is at the other end of the channel, by the kernel's word. */
  identify(channel: NativeChannel): ProcessIdentity {
    const { peer } = channel;
    const key = this.keyOf(peer);
    const known = this.watched.get(key);
    if (known !== undefined) return known.identity;
    let watch: NativeProcess | undefined;
    try {
      watch = channel.watchPeer(() => this.exited(key));
    } catch {
      // Its death cannot be proven: the ledger grants it no `ipc` lease.
    }
    const { pid, startTime, uid, command } = peer;
    const identity = { key, pid, startTime, uid, command, proven: watch !== undefined };
    this.watched.set(key, { identity, watch });
    return identity;
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

  /** A process that this one's PID namespace does not show has no name here: each connection stands for itself. */
  private keyOf({ pid, startTime }: NativePeer): string {
    return startTime === "" ? `unnamed ${this.unnamed++}` : `${pid} ${startTime}`;
  }
}
