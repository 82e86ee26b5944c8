import { EventEmitter } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { CudaIpcError } from "../errors.js";
import { type NativeFileLock, native } from "../native.js";
import type { ClientConnection } from "../wire/client.js";
import { packTensors } from "../wire/manifest.js";
import { keepAlive } from "./keep-alive.js";
import { Mirror } from "./mirror.js";
import type { ReceivedMemory } from "./received-memory.js";
import { unlessRefused } from "./resume.js";
import type { StoredState } from "./stored-state.js";

/** What a standby takes over with. */
export interface Inheritance {
  lock: NativeFileLock;
  state: StoredState;
  memory: ReceivedMemory;
}

interface StandbyEvents<Owner> {
  /** The owner has died, and this process is the owner now. */
  takenover: [Owner];
  /** Another process was quicker: it has been offered the mirror and is what is mirrored from here on. */
  overtaken: [];
  /** Taking over failed. The standby goes on trying. */
  error: [Error];
}

const shortestWaitMs = 2;
const longestWaitMs = 250;

/**
 * Mirrors an owner: descriptors of its memory, manifests, leases. Holds no CUDA context. When the owner dies it takes
 * the socket over; when somebody else has done so first, that owner is offered what this one holds, and mirrored.
 */
export class Standby<Owner> extends EventEmitter<StandbyEvents<Owner>> implements AsyncDisposable {
  /** Resolves with the owner that this standby has become; rejects when it was closed before. */
  readonly owner: Promise<Owner>;
  private settle!: { resolve(owner: Owner): void; reject(error: Error): void };
  private closed = false;
  /** A mirror does not keep the event loop alive, and a program may have nothing else. */
  private readonly alive = keepAlive();

  private constructor(
    /** The absolute path of the socket. */
    readonly socket: string,
    private mirror: Mirror,
    private readonly begin: (inheritance: Inheritance) => Promise<Owner>,
  ) {
    super();
    this.owner = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    this.owner.catch(() => {});
    void this.watch();
  }

  /**
   * @internal Resolves when everything the owner has is mirrored. `begin` makes an owner of what is taken over; `kept`
   * is the memory that this process has beside the mirror: an owner that is recovering may miss it, and is offered it.
   */
  static async start<Owner>(
    socket: string,
    begin: (inheritance: Inheritance) => Promise<Owner>,
    kept?: (state: StoredState) => ReceivedMemory,
  ): Promise<Standby<Owner>> {
    // What is mirrored comes unasked, and whoever waits for it may have nothing else.
    const alive = keepAlive();
    try {
      const mirror = await Mirror.open(socket);
      await offerKept(mirror, kept?.(mirror.state));
      return new Standby(socket, mirror, begin);
    } finally {
      clearInterval(alive);
    }
  }

  /** How many versions it holds the memory of. */
  get versions(): number {
    return this.mirror.memory.size;
  }

  /** Keeps the event loop alive while it stands by (the default), or not. The owner that it becomes does so anyway. */
  ref(): this {
    this.alive.ref();
    return this;
  }

  unref(): this {
    this.alive.unref();
    return this;
  }

  /** Stops mirroring and lets go of the memory. Harmless when closed already; no effect on an owner it has become. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.alive);
    this.mirror.close();
    await this.mirror.memory.dropAll();
    this.settle.reject(new CudaIpcError("ERR_CUDA_IPC_CLOSED", "The standby was closed."));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async watch(): Promise<void> {
    while (!this.closed) {
      await this.mirror.closed;
      if (this.closed) return;
      const owner = await this.succeed();
      if (owner === undefined) continue;
      this.closed = true;
      clearInterval(this.alive);
      this.settle.resolve(owner);
      this.tell("takenover", owner);
    }
  }

  /** The new owner; undefined when there is another one, which is mirrored now. */
  private async succeed(): Promise<Owner | undefined> {
    const { state, memory } = this.mirror;
    for (let wait = shortestWaitMs; !this.closed; wait = Math.min(2 * wait, longestWaitMs)) {
      try {
        const lock = native.lockFile(`${this.socket}.lock`);
        if (lock !== undefined) return await this.begin({ lock, state, memory });
        if (await this.follow()) return undefined;
      } catch (error) {
        this.report(error as Error);
      }
      // The dead owner's last descriptor is being closed, or its successor does not listen yet.
      await delay(wait);
    }
    return undefined;
  }

  /** Offers what is held to whoever has the socket, and mirrors him. False when nobody answers there. */
  private async follow(): Promise<boolean> {
    const previous = this.mirror;
    try {
      this.mirror = await Mirror.open(this.socket, (connection) => offerAll(connection, previous));
    } catch (error) {
      const { code } = error as CudaIpcError;
      if (code === "ERR_CUDA_IPC_NO_OWNER" || code === "ERR_CUDA_IPC_CONNECTION_LOST") return false;
      throw error;
    }
    // What the new owner accepted it has sent again; what it did not is nobody's any more.
    await previous.memory.dropAll();
    this.tell("overtaken");
    return true;
  }

  /** On a turn of its own: what a listener throws must not end the standing by. */
  private tell<E extends "takenover" | "overtaken">(event: E, ...about: StandbyEvents<Owner>[E]): void {
    queueMicrotask(() => this.emit(event, ...(about as never)));
  }

  /** @internal */
  report(error: Error): void {
    queueMicrotask(() => {
      if (this.listenerCount("error") > 0) this.emit("error", error);
      else process.emitWarning(error);
    });
  }
}

/** What this process has kept beside the mirror, which is given up where that cannot be offered. */
async function offerKept(mirror: Mirror, memory: ReceivedMemory | undefined): Promise<void> {
  if (memory === undefined) return;
  try {
    await offerAll(mirror.connection, { state: mirror.state, memory });
  } catch (error) {
    mirror.close();
    await mirror.memory.dropAll();
    throw error;
  } finally {
    await memory.dropAll();
  }
}

/** Gives an owner that is recovering the memory that it misses. */
async function offerAll(
  connection: ClientConnection,
  { state, memory }: Pick<Mirror, "state" | "memory">,
): Promise<void> {
  const { wanted } = await connection.welcome;
  for (const id of wanted) {
    const held = memory.get(id);
    const stored = state.versions.get(id);
    if (held === undefined || stored === undefined) continue;
    const { set, number, sharing, writable, checksum } = stored;
    const version = { id, set, number, sharing, writable, checksum, tensors: packTensors(held.tensors) };
    const slabs = held.slabs.map(({ id, device, bytes }) => ({ id, device, bytes, sharing, handle: null }));
    const fds = held.slabs.map(({ fd }) => fd!);
    await unlessRefused(connection.request("offer", { version, slabs, leases: [] }, { fds }));
  }
}
