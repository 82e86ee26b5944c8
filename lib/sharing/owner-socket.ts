import { promises as fs } from "node:fs";
import {
  type NativeChannel,
  type NativeFd,
  type NativeFileLock,
  type NativeListener,
  type NativeShelf,
  native,
} from "../native.js";

const backlog = 4096;

export interface SocketOptions {
  onConnection(channel: NativeChannel): void;
  /** A connection could not be accepted. */
  onError(error: Error): void;
  /** What is sent ahead on connections. */
  shelf(): NativeShelf;
}

/** The one owner's place on a socket: the lock that says that nobody else listens there, and what listens. */
export class OwnerSocket {
  private listener: NativeListener | undefined;
  /** It is the service manager's, and stays where it is. */
  private activated = false;

  constructor(
    /** Absolute. */
    readonly path: string,
    /** Held. */
    readonly lock: NativeFileLock,
    private readonly options: SocketOptions,
  ) {}

  listen(mode: number): void {
    const { onConnection, onError, shelf } = this.options;
    this.listener = native.listen(this.path, { mode, backlog, shelf: shelf() }, onConnection, onError);
  }

  /** Listens on the service manager's socket, whose descriptor stays the caller's. */
  activate(listening: NativeFd): void {
    this.activated = true;
    this.adopt(listening);
  }

  /** Listens on a socket that listens already; its descriptor stays the caller's. */
  adopt(listening: NativeFd): void {
    const { onConnection, onError, shelf } = this.options;
    this.listener = native.adoptListener(listening, onConnection, onError, this.activated, shelf());
  }

  /** Listens no longer, and gives the listening socket away: who connects waits for whoever adopts it. */
  detach(): NativeFd {
    return this.listener!.detach();
  }

  /** Whether listening keeps the event loop alive. */
  ref(): void {
    this.listener?.ref();
  }

  unref(): void {
    this.listener?.unref();
  }

  close(): void {
    this.listener?.close();
  }

  /** Takes the file away that belongs to this owner alone. */
  async remove(): Promise<void> {
    if (!this.activated) await fs.rm(this.path, { force: true });
  }

  /** Another process may listen there. */
  unlock(): void {
    this.lock.close();
  }
}
