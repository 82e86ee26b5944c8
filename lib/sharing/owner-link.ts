import { existsSync } from "node:fs";
import type { CudaIpcError } from "../errors.js";
import type { NativeAddon, NativeChannel, NativeGrants } from "../native.js";
import { type Asked, ClientConnection } from "../wire/client.js";
import type { EventType, OwnerMessages, RequestMessage } from "../wire/messages.js";
import { helloOn } from "./asked-line.js";
import { retryDelays } from "./patience.js";
import { journalPath } from "./socket-path.js";

/** What a line is made with. */
export type Dialer = Pick<
  NativeAddon,
  "connect" | "tryConnect" | "startChannel" | "watchGrants" | "chosenProvider"
>;

export interface LinkOptions {
  /** Whether this process holds, or owes, what an owner must hear of. */
  owing(): boolean;
  /** Whether an owner may be told something that none is looked for for. */
  doubting(): boolean;
  /** Tells the owner at the end of a new line all of that. Rejects when the line is lost meanwhile. */
  tell(line: ClientConnection): Promise<void>;
  onEvent(event: OwnerMessages[EventType]): void;
  /** A request succeeded after it had been given up. */
  onLate(request: RequestMessage): void;
  /** The line broke; another is being looked for already. */
  onLost(error: CudaIpcError | undefined): void;
}

/** How long a line that nobody needs stays, for whoever attaches again. */
const lingerMs = 1000;

/**
 * The connection to whichever owner listens on a socket: one line at a time, made when it is needed. When it breaks
 * and there is something to tell an owner, the next one is looked for, and told.
 */
export class OwnerLink {
  private dialing: Promise<ClientConnection> | undefined;
  private line: ClientConnection | undefined;
  /** Whether the owner of the present line knows all. */
  private told: Promise<boolean> = Promise.resolve(false);
  private looking: Promise<void> | undefined;
  private lingering: NodeJS.Timeout | undefined;
  private operations = 0;

  constructor(
    private readonly socket: string,
    private readonly dialer: Dialer,
    private readonly options: LinkOptions,
  ) {}

  /** The line that stands; undefined while there is none. */
  get open(): ClientConnection | undefined {
    return this.line;
  }

  /** Whether a line stands or is being made. */
  get started(): boolean {
    return this.line !== undefined || this.dialing !== undefined;
  }

  /** Settles when an owner knows all that it was to be told, or there is nothing left to tell one. */
  async ready(): Promise<void> {
    for (;;) {
      const { line } = this;
      if (line !== undefined) {
        await this.told;
        // If it has broken meanwhile, the next one is looked for.
        if (this.line === line) return;
      } else if (this.looking !== undefined) await this.looking;
      else return;
    }
  }

  /** Whether an owner is to be expected where nobody listens: one that ends in good order takes its journal with it. */
  get successorExpected(): boolean {
    return this.looking !== undefined || existsSync(journalPath(this.socket));
  }

  /** The line that stands, or one that could be made without waiting. Without one `connect` says why, or makes it. */
  openNow(): ClientConnection | undefined {
    if (this.line !== undefined || this.dialing !== undefined) return this.line;
    let channel: NativeChannel | undefined;
    try {
      channel = this.dialer.tryConnect(this.socket);
      return channel && this.begin(channel, this.dialer.watchGrants(channel));
    } catch {
      channel?.close();
      return undefined;
    }
  }

  /** Goes on with a line that a request is under way on, where there is none. */
  adopt({ channel, grants, request }: Asked): void {
    try {
      this.begin(channel, grants, request);
    } catch (error) {
      channel.close();
      throw error;
    }
  }

  connect(): Promise<ClientConnection> {
    if (this.line !== undefined) return Promise.resolve(this.line);
    this.dialing ??= this.dial().finally(() => {
      this.dialing = undefined;
    });
    return this.dialing;
  }

  /** Keeps the line while an operation is under way. */
  async whileNeeded<T>(operation: () => Promise<T>): Promise<T> {
    this.operations++;
    try {
      return await operation();
    } finally {
      this.operations--;
      this.settle();
    }
  }

  /** To be called when there may be more or less to tell: looks for an owner, or lets an idle line go after a while. */
  settle(): void {
    if (this.options.owing()) this.look();
    else if (this.line !== undefined && this.operations === 0) this.linger();
  }

  /** Closes the line unless it is needed. */
  disconnect(): void {
    if (this.options.owing() || this.operations > 0) return;
    clearTimeout(this.lingering);
    this.lingering = undefined;
    const closing = this.line;
    this.line = undefined;
    closing?.close();
  }

  private async dial(): Promise<ClientConnection> {
    const channel = await this.dialer.connect(this.socket);
    return this.begin(channel, this.dialer.watchGrants(channel));
  }

  private begin(
    channel: NativeChannel,
    grants: NativeGrants,
    asked?: RequestMessage<"attach">,
  ): ClientConnection {
    const line: ClientConnection = new ClientConnection({
      channel,
      start: this.dialer.startChannel,
      grants,
      asked,
      hello: helloOn(this.dialer.chosenProvider()),
      onEvent: (event) => this.options.onEvent(event),
      onLate: (request) => this.options.onLate(request),
      saysFarewell: true,
      onClose: (error) => this.closed(line, error),
    });
    this.line = line;
    this.told = this.tell(line);
    return line;
  }

  private async tell(line: ClientConnection): Promise<boolean> {
    try {
      if (!this.options.owing() && !this.options.doubting()) return true;
      await this.options.tell(line);
      this.settle();
      return true;
    } catch {
      return false;
    }
  }

  private closed(line: ClientConnection, error: CudaIpcError | undefined): void {
    if (this.line !== line) return;
    this.line = undefined;
    this.settle();
    this.options.onLost(error);
  }

  /** Tries until an owner knows all. Keeps no process alive. */
  private look(): void {
    if (this.line !== undefined || this.looking !== undefined) return;
    this.looking = this.lookAround().finally(() => {
      this.looking = undefined;
      this.settle();
    });
  }

  private async lookAround(): Promise<void> {
    for (const wait of retryDelays()) {
      await new Promise((resolve) => setTimeout(resolve, wait).unref());
      if (!this.options.owing()) return;
      try {
        const line = await this.connect();
        if ((await this.told) || this.line === line) return;
      } catch {
        // Nobody listens there yet.
      }
    }
  }

  private linger(): void {
    this.lingering ??= setTimeout(() => {
      this.lingering = undefined;
      this.disconnect();
    }, lingerMs).unref();
    this.lingering.refresh();
  }
}
