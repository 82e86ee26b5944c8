import { CudaIpcError } from "../errors.js";
import { type NativeFd, native } from "../native.js";
import { checkedChange } from "../wire/check.js";
import { ClientConnection } from "../wire/client.js";
import type { EventType, OwnerMessages } from "../wire/messages.js";
import { ReceivedMemory } from "./received-memory.js";
import { software } from "./software.js";
import { StoredState } from "./stored-state.js";

/** A copy of a living owner's state, with descriptors of all its memory, kept up to date over one connection. */
export class Mirror {
  state = new StoredState();
  readonly memory = new ReceivedMemory();
  /** Resolves when the connection is gone, with the reason if there was one. */
  readonly closed: Promise<CudaIpcError | undefined>;
  readonly connection: ClientConnection;
  private whole: (() => void) | undefined;
  private awaited = 0;
  /** Events that came before the state they are about. */
  private early: (() => void)[] | undefined = [];
  private closedWith: ((error: CudaIpcError | undefined) => void) | undefined;

  private constructor(channel: Awaited<ReturnType<typeof native.connect>>) {
    this.closed = new Promise((resolve) => {
      this.closedWith = resolve;
    });
    this.connection = new ClientConnection({
      channel,
      start: native.startChannel,
      hello: {
        client: software,
        driver: { provider: native.chosenProvider(), version: null },
        devices: null,
      },
      onEvent: (event, fds) => this.onEvent(event, fds),
      onClose: (error) => this.closedWith?.(error),
    });
  }

  /** Connects and waits until everything there is has come. */
  static async open(
    socket: string,
    before?: (connection: ClientConnection) => Promise<void>,
  ): Promise<Mirror> {
    const mirror = new Mirror(await native.connect(socket));
    try {
      await before?.(mirror.connection);
      await mirror.begin();
      return mirror;
    } catch (error) {
      mirror.close();
      mirror.memory.dropAll();
      throw error;
    }
  }

  close(): void {
    this.connection.close();
  }

  private async begin(): Promise<void> {
    const whole = new Promise<void>((resolve) => {
      this.whole = resolve;
    });
    const { message } = await this.connection.request("mirror", {});
    for (const change of message.changes) this.state.apply(checkedChange(change));
    this.awaited = message.memories;
    const early = this.early!;
    this.early = undefined;
    for (const event of early) event();
    if (this.awaited <= 0) this.whole?.();
    const lost = this.closed.then((error) => {
      throw (
        error ?? new CudaIpcError("ERR_CUDA_IPC_CONNECTION_LOST", "The owner ended while it was mirrored.")
      );
    });
    await Promise.race([whole, lost]);
  }

  private onEvent(event: OwnerMessages[EventType], fds: NativeFd[]): void {
    if (this.early !== undefined) {
      this.early.push(() => this.onEvent(event, fds));
      return;
    }
    try {
      if (event.type === "mirrorChanged") this.apply(event.changes);
      else if (event.type === "mirrorMemory") this.receive(event, fds);
      else for (const fd of fds) fd.close();
    } catch {
      // What contradicts itself is no mirror: it is given up, and opened anew by whoever needs one.
      this.close();
    }
  }

  private apply(changes: readonly unknown[]): void {
    for (const value of changes) {
      const change = checkedChange(value);
      this.state.apply(change);
      if (change.op === "versionGone" || (change.op === "versionState" && change.state === "released")) {
        const { id } = change;
        // The owner counts on it: it is said when it is true.
        this.memory.drop(id)?.then(() => this.tellDropped([id]));
      }
    }
  }

  private receive({ memory }: OwnerMessages["mirrorMemory"], fds: NativeFd[]): void {
    if (!this.memory.add(this.state, memory, fds)) this.tellDropped([memory.version]);
    if (--this.awaited <= 0) this.whole?.();
  }

  private tellDropped(versions: string[]): void {
    if (versions.length === 0) return;
    this.connection.request("mirrorDropped", { versions }).catch(() => {
      // The connection is gone, and the owner learns of this process's end otherwise.
    });
  }
}
