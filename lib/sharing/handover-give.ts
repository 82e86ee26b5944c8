import { CudaIpcError } from "../errors.js";
import type { NativeFd, NativeFileLock, NativeListener } from "../native.js";
import type { Answer } from "../wire/server.js";
import { keepAlive } from "./keep-alive.js";
import { canBeGiven, memoryOf } from "./mirror-source.js";
import { exportState, type OwnerParts } from "./owner-state.js";

/** What a hand-over needs of its owner. */
export interface HandoverGiver {
  readonly parts: OwnerParts;
  readonly lock: NativeFileLock;
  /** Milliseconds that a successor has, from when it is sent everything until it says that it listens. */
  readonly timeout: number;
  /** Refuses while something stands against it, such as a recovery; waits for loads that are under way. */
  prepare(): Promise<void>;
  /** From here on nothing changes: no request is read, no death is acted on. `session` is the successor's. */
  freeze(session: number): void;
  /** Goes on after a hand-over that failed; on the socket that it was to give, where it had come that far. */
  goOn(listener: NativeFd | undefined): void;
  detachListener(): ReturnType<NativeListener["detach"]>;
  /** The successor has everything: whoever keeps it for this owner lets go. Never rejects. */
  letGo(): Promise<void>;
  /** The successor has everything: lets go without a word to the ledger, and ends. */
  finish(): void;
}

interface Giving {
  readonly session: number;
  readonly disconnect: (reason: CudaIpcError) => void;
  listener: NativeFd | undefined;
  overdue: NodeJS.Timeout | undefined;
}

/**
 * The running owner's side of a hand-over. It keeps everything until the successor says that it listens, and goes on
 * when that takes too long: a successor acts only when its word has been answered.
 */
export class HandoverSource {
  private giving: Giving | undefined;
  /** While this owner does not listen, and cannot know yet whether it will again. */
  private alive: NodeJS.Timeout | undefined;

  constructor(private readonly giver: HandoverGiver) {}

  /** `disconnect` ends the successor's connection. */
  async give(session: number, disconnect: (reason: CudaIpcError) => void): Promise<Answer<"handover">> {
    if (this.giving !== undefined) {
      throw new CudaIpcError("ERR_CUDA_IPC_HANDOVER_RUNNING", "The owner is being handed over already.");
    }
    const giving: Giving = { session, disconnect, listener: undefined, overdue: undefined };
    this.giving = giving;
    try {
      this.assertNoIpc();
      await this.giver.prepare();
      // Loads that were waited for may have published.
      this.assertNoIpc();
      if (this.giving !== giving)
        throw new CudaIpcError("ERR_CUDA_IPC_CONNECTION_LOST", "The successor has gone.");
      return this.pack(giving);
    } catch (error) {
      if (this.giving === giving) this.resume();
      throw error;
    }
  }

  async taken(session: number): Promise<Answer<"handoverTaken">> {
    if (this.giving?.session !== session || this.giving.listener === undefined) {
      throw new CudaIpcError("ERR_CUDA_IPC_INVALID_STATE", "Nothing was handed over on this connection.");
    }
    clearTimeout(this.giving.overdue);
    this.giving.listener.close();
    // From here on the end of this connection means nothing.
    this.giving = undefined;
    // Before the successor is told to go on: its service may be the same one.
    await this.giver.letGo();
    // Behind the reply, which is sent when this returns.
    setImmediate(() => {
      clearInterval(this.alive);
      this.giver.finish();
    });
    return { body: {} };
  }

  /** The successor is gone before it had taken everything: this owner goes on. */
  connectionClosed(session: number): void {
    if (this.giving?.session === session) this.resume();
  }

  private pack(giving: Giving): Answer<"handover"> {
    const { parts, lock, timeout } = this.giver;
    parts.log.commit();
    this.giver.freeze(giving.session);
    this.alive = keepAlive();
    giving.listener = this.giver.detachListener();
    // Its end is what this owner goes on by.
    giving.overdue = setTimeout(() => giving.disconnect(overdue(timeout)), timeout);
    const given = parts.catalog
      .list()
      .filter((entry) => canBeGiven(entry) && parts.ledger.version(entry.id)?.state !== "released")
      .map(memoryOf);
    const lockFd = lock.duplicate();
    // Descriptors are duplicated as they are sent; this one has no other use.
    setImmediate(() => lockFd.close());
    return {
      body: {
        changes: [...exportState(parts).changes()],
        memories: given.map(({ memory }) => memory),
      },
      fds: [lockFd, giving.listener, ...given.flatMap(({ fds }) => fds)],
      onUnsent: () => this.resume(),
    };
  }

  private resume(): void {
    const listener = this.giving?.listener;
    clearTimeout(this.giving?.overdue);
    this.giving = undefined;
    this.giver.goOn(listener);
    clearInterval(this.alive);
    listener?.close();
  }

  private assertNoIpc(): void {
    const { catalog } = this.giver.parts;
    const ipc = catalog.list().find(({ sharing, presence }) => sharing === "ipc" && presence === "present");
    if (ipc === undefined) return;
    throw new CudaIpcError(
      "ERR_CUDA_IPC_HANDOVER_IPC",
      `Version ${ipc.number} of ${JSON.stringify(ipc.set)} is shared as "ipc": its memory dies with this process, so it cannot be handed over. Retire it and wait until it is freed, or publish it as "vmm".`,
      { details: { set: ipc.set, version: ipc.id } },
    );
  }
}

function overdue(milliseconds: number): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_HANDOVER_TIMEOUT",
    `The successor was given everything, and has not said within ${milliseconds} ms that it listens: it is stopped, or too busy. The owner goes on. Try again, or allow more time: { handoverTimeout }.`,
    { details: { milliseconds } },
  );
}
