import { CudaIpcError } from "../errors.js";
import { type NativeChannel, type NativeFd, native } from "../native.js";
import { asCoded } from "../wire/connection.js";
import { maxFrameBytes } from "../wire/limits.js";
import type { RequestMessage } from "../wire/messages.js";
import { type Answer, type RequestHandlers, ServerConnection } from "../wire/server.js";
import type { Catalog, CatalogEntry } from "./catalog.js";
import { Granting, type SentAhead } from "./granting.js";
import type { Ledger, ProcessIdentity } from "./ledger.js";
import { Loans, unseen } from "./loans.js";
import { LockServer } from "./lock-server.js";
import type { LockEffects, LockTable } from "./lock-table.js";
import { refused } from "./offer-check.js";
import { OwnerNews } from "./owner-news.js";
import { OwnerWelcome } from "./owner-welcome.js";
import { ProcessWatches } from "./process-watches.js";
import type { Recovery } from "./recovery.js";
import { Shelf } from "./shelf.js";
import { setStatus } from "./status.js";
import type { SuccessionServer } from "./succession-server.js";

export interface OwnerServerOptions {
  /** Users whose processes may connect. */
  allowUids: readonly number[];
  /** Open connections at a time. */
  connections: number;
  locks: LockTable;
  /** Writes down locks that were granted or ended, before anybody is told. */
  recordLocks?(effects: LockEffects): void;
  /** When the owner has taken over from one that died. */
  recovery?: Recovery;
  succession: SuccessionServer;
  onPeerError(error: CudaIpcError): void;
}

interface Session {
  readonly id: number;
  readonly process: string;
  readonly channel: NativeChannel;
  readonly connection: ServerConnection;
}

/** The owner's side of the wire: every connection, every request, every process behind them. */
export class OwnerServer {
  readonly locks: LockServer;
  /** What is sent ahead on connections that are accepted with it. */
  readonly shelf: Shelf;
  private readonly sessions = new Map<number, Session>();
  private readonly news: OwnerNews;
  private readonly granting: Granting;
  private readonly welcome: OwnerWelcome;
  private readonly loans = new Loans();
  private readonly watches = new ProcessWatches((key) => this.processExited(key));
  private nextSession = 1;
  /** Nothing new is granted any more. */
  private closing = false;
  /** No connection is left. */
  private ended = false;
  private expiry: NodeJS.Timeout | undefined;
  /** While everything is being handed over: what has happened and is not acted on. */
  private frozen: (() => void)[] | undefined;

  constructor(
    ownerId: string,
    private readonly ledger: Ledger,
    private readonly catalog: Catalog,
    private readonly options: OwnerServerOptions,
  ) {
    const { locks: table, recordLocks: record, recovery, allowUids } = options;
    const writable = (version: string) => catalog.get(version)?.writable ?? false;
    this.locks = new LockServer({ ledger, table, writable, record });
    this.welcome = new OwnerWelcome(ownerId, recovery);
    this.shelf = new Shelf(catalog, allowUids);
    catalog.on("freed", ({ id }) => this.loans.freed(id));
    this.news = new OwnerNews(ledger, catalog, (session, type, body) =>
      this.sessions.get(session)?.connection.notify(type, body),
    );
    const assertOpen = () => {
      if (this.closing) throw closed();
    };
    this.granting = new Granting({ ledger, catalog, recovery, assertOpen });
  }

  /** Watches the processes that the owner before has named. */
  watchHolders(): void {
    for (const identity of this.ledger.snapshot().processes) {
      this.ledger.setProven(identity.key, this.watches.adopt(identity));
    }
    this.locks.watchHolders((identity) => this.watches.adopt(identity));
    this.options.succession.watchStandbys((identity) => this.watches.adopt(identity));
    this.scheduleExpiry();
  }

  /** Takes a new connection. A refusal is told to the peer and to `onPeerError`. */
  accept(channel: NativeChannel): void {
    const id = this.nextSession++;
    let refusal: CudaIpcError | undefined;
    let identity: ProcessIdentity;
    try {
      identity = this.watches.identify(channel);
      refusal = this.refusal(channel, identity);
    } catch (error) {
      // Nothing is left to describe it or watch it with. It sees its connection end before a welcome, and tries again.
      this.options.onPeerError(asCoded(error));
      channel.close();
      this.lentUnseen(channel);
      return;
    }
    this.ledger.connectionOpened(id, identity);
    const connection = new ServerConnection({
      channel,
      start: native.startChannel,
      handlers: this.handlers(id, identity, channel),
      onHello: ({ driver }) => this.welcome.for(driver.provider),
      onFarewell: () => {
        this.loans.farewell(identity.key, id);
        const effects = this.ledger.farewell(id);
        this.catalog.apply(effects);
        this.locks.leasesReleased(
          effects.ended.map(({ lease }) => lease),
          identity,
        );
      },
      onClose: (error) => this.connectionClosed(id, error),
      // An offer brings all of a version's tensors.
      maxFrameBytes: this.options.recovery?.active ? maxFrameBytes : undefined,
    });
    this.sessions.set(id, { id, process: identity.key, channel, connection });
    if (refusal !== undefined) connection.fail(refusal);
  }

  /** Tells whoever holds a version of its set that there is a new one. */
  announceVersion(entry: CatalogEntry): void {
    this.shelf.show(entry);
    this.granting.published(entry);
    this.news.published(entry);
  }

  /** Tells whoever holds a version that it is current again. */
  announceReinstated(entry: CatalogEntry): void {
    this.news.reinstated(entry);
  }

  announceRetired(set: string): void {
    this.shelf.withdraw(set);
    this.news.retired(set);
  }

  /** From here on no lease is granted and no connection is accepted. */
  refuseNew(): void {
    this.closing = true;
    this.shelf.close();
    this.locks.refuseNew(closed());
    for (const { connection } of this.sessions.values()) {
      connection.notify("closing", { reason: "The owner is closing." });
    }
  }

  /** From here on nothing changes: nobody but `session` is heard, and no end of anybody is acted on. */
  freeze(session: number): void {
    this.frozen = [];
    clearTimeout(this.expiry);
    for (const { id, connection } of this.sessions.values()) if (id !== session) connection.pause();
  }

  /** Goes on, and catches up. */
  thaw(): void {
    const missed = this.frozen ?? [];
    this.frozen = undefined;
    for (const { connection } of this.sessions.values()) connection.resume();
    for (const event of missed) event();
    this.scheduleExpiry();
  }

  /** Somebody else has all of it: sends the clients there, and forgets them without a word to the ledger. */
  abandon(reason: "handover" | "restart"): void {
    this.frozen = [];
    this.shelf.close();
    for (const { connection } of this.sessions.values()) {
      connection.resume();
      connection.notify("closing", { reason });
    }
    this.close();
  }

  close(): void {
    this.ended = true;
    this.shelf.close();
    clearTimeout(this.expiry);
    for (const { connection } of [...this.sessions.values()]) connection.close();
    this.watches.close();
  }

  private refusal(channel: NativeChannel, { key }: ProcessIdentity): CudaIpcError | undefined {
    const { uid, pid } = channel.peer;
    if (!this.options.allowUids.includes(uid)) {
      return new CudaIpcError(
        "ERR_CUDA_IPC_FORBIDDEN",
        `User ${uid} (process ${pid}) may not attach here. The owner allows others with { allowUids }, or serve --allow-uid.`,
        { details: { uid } },
      );
    }
    // Whoever has something on loan must be able to say that he has closed it: that is waited for.
    const borrows = () =>
      [key, unseen(pid)].some((name) => this.loans.knows(name)) || channel.untaken().length > 0;
    if (this.closing && !borrows()) return closed();
    if (this.sessions.size >= this.options.connections) {
      return new CudaIpcError(
        "ERR_CUDA_IPC_CONNECTION_LIMIT",
        `The owner has ${this.sessions.size} connections, and ${this.options.connections} is its limit. Raise limits.connections.`,
        { details: { limit: this.options.connections } },
      );
    }
    return undefined;
  }

  private handlers(session: number, process: ProcessIdentity, channel: NativeChannel): RequestHandlers {
    return {
      ...this.locks.handlers(session, process),
      ...this.options.succession.handlers(session, process, () => this.sessions.get(session)!.connection),
      attach: (request) => {
        const ahead = request.ahead
          ? this.sentAhead(session, process.key, channel, request.lease)
          : undefined;
        if (ahead === undefined) this.shelf.complete();
        return this.granting.attach(session, request, ahead);
      },
      retain: (request) => this.granting.retain(session, request),
      release: ({ leases }) => {
        const effects = this.ledger.release(leases, session);
        for (const name of [process.key, unseen(process.pid)]) this.loans.released(name, leases);
        this.catalog.apply(effects);
        this.locks.leasesReleased(leases, process);
        return { body: { ended: effects.ended.length } };
      },
      reclaim: ({ leases }) => {
        const { kept, ...effects } = this.ledger.reclaim(leases, session);
        this.catalog.apply(effects);
        this.news.catchUp(session, kept);
        return { body: { kept } };
      },
      offer: (request, fds) => this.offer(session, request, fds),
      status: () => ({ body: { sets: setStatus(this.catalog, this.ledger), locks: this.locks.status() } }),
    };
  }

  private sentAhead(
    session: number,
    process: string,
    channel: NativeChannel,
    lease: string,
  ): SentAhead | undefined {
    const version = channel.takeAhead(lease);
    if (version === undefined) return undefined;
    // It stays in the catalog for as long as it is on loan.
    if (this.catalog.get(version)?.sharing !== "ipc") return { version };
    if (this.watches.has(process)) {
      return { version, kept: this.loans.add(process, { lease, version, session, channel }) };
    }
    // Dead already.
    return { version, kept: () => channel.giveBack(lease) };
  }

  /** Of a channel that is closed again. Its process says on another one that it has let go, or dies. */
  private lentUnseen(channel: NativeChannel): void {
    for (const lease of channel.untaken()) {
      const version = channel.takeAhead(lease)!;
      this.loans.add(unseen(channel.peer.pid), { lease, version, channel });
    }
  }

  private async offer(
    session: number,
    request: RequestMessage<"offer">,
    fds: NativeFd[],
  ): Promise<Answer<"offer">> {
    const { recovery } = this.options;
    if (recovery === undefined) {
      for (const fd of fds) fd.close();
      const refusal = refused(request.version, "this owner has taken over from nobody");
      this.options.onPeerError(refusal);
      throw refusal;
    }
    const outcome = await recovery.offer(request, fds, session);
    this.news.catchUp(session, outcome.kept);
    return { body: { ...outcome } };
  }

  private connectionClosed(id: number, error: CudaIpcError | undefined): void {
    if (this.frozen !== undefined) {
      this.frozen.push(() => this.connectionClosed(id, error));
      // It may be the successor's: then this owner goes on.
      this.options.succession.connectionClosed(id);
      return;
    }
    this.options.succession.connectionClosed(id);
    const session = this.sessions.get(id);
    // Of requests that will not be read any more.
    for (const lease of session?.channel.untaken() ?? []) {
      this.sentAhead(id, session!.process, session!.channel, lease);
    }
    this.sessions.delete(id);
    if (error !== undefined) this.options.onPeerError(error);
    this.catalog.apply(this.ledger.connectionClosed(id, Date.now()));
    this.locks.connectionClosed(id);
    this.watches.prune((key) => this.needs(key));
    this.scheduleExpiry();
  }

  private needs(process: string): boolean {
    if (this.loans.knows(process)) return true;
    return this.ledger.knows(process) || this.locks.knows(process) || this.options.succession.knows(process);
  }

  private processExited(key: string): void {
    if (this.frozen !== undefined) {
      this.frozen.push(() => this.processExited(key));
      return;
    }
    this.loans.processExited(key);
    this.catalog.apply(this.ledger.processExited(key));
    this.locks.processExited(key);
    this.options.succession.processExited(key);
    // The ledger has dropped its connections; their sockets report end-of-file by themselves.
  }

  /** Processes whose death cannot be proven keep a version, or a lock of an owner before, for a time only. */
  private scheduleExpiry(): void {
    clearTimeout(this.expiry);
    const never = Number.POSITIVE_INFINITY;
    const next = Math.min(this.ledger.nextDeadline() ?? never, this.locks.nextDeadline() ?? never);
    if (next === never || this.ended) return;
    this.expiry = setTimeout(
      () => {
        this.locks.expire(Date.now());
        this.catalog.apply(this.ledger.expire(Date.now()));
        this.scheduleExpiry();
      },
      Math.max(next - Date.now(), 0),
    );
    this.expiry.unref();
  }
}

function closed(): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_CLOSED",
    "The owner is closing: it grants neither leases nor locks any more.",
  );
}
