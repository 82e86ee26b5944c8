import { CudaIpcError } from "../errors.js";
import { type NativeChannel, type NativeFd, native } from "../native.js";
import type { EncodedMessage } from "../wire/encode.js";
import { maxFrameBytes, maxLeasesPerRequest } from "../wire/limits.js";
import type { RequestMessage } from "../wire/messages.js";
import {
  type Answer,
  type RequestHandlers,
  ServerConnection,
  type Welcome,
  welcomeMessage,
} from "../wire/server.js";
import type { SetStatus } from "../wire/values.js";
import type { Catalog, CatalogEntry } from "./catalog.js";
import { granted, manifestOf } from "./grant.js";
import type { Ledger, ProcessIdentity } from "./ledger.js";
import { noSet, noVersion } from "./ledger-errors.js";
import { LockServer } from "./lock-server.js";
import type { LockEffects, LockTable } from "./lock-table.js";
import { refused } from "./offer-check.js";
import { ProcessWatches } from "./process-watches.js";
import { ownerDied, type Recovery } from "./recovery.js";
import { software } from "./software.js";
import { processStartTime } from "./start-time.js";
import { versionStatus } from "./status.js";
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
  readonly connection: ServerConnection;
}

/** The owner's side of the wire: every connection, every request, every process behind them. */
export class OwnerServer {
  readonly locks: LockServer;
  private readonly sessions = new Map<number, Session>();
  /** How many requests of a session wait for a version to come back. */
  private readonly awaiting = new Map<number, number>();
  private readonly watches = new ProcessWatches((key) => this.processExited(key));
  private nextSession = 1;
  /** Nothing new is granted any more. */
  private closing = false;
  /** No connection is left. */
  private ended = false;
  private expiry: NodeJS.Timeout | undefined;
  private encodedWelcome: { provider: string; message: EncodedMessage } | undefined;
  /** While everything is being handed over: what has happened and is not acted on. */
  private frozen: (() => void)[] | undefined;
  /** Sets whose current version died with the owner before, until there is a new one. */
  private readonly orphans = new Map<string, CatalogEntry>();

  constructor(
    private readonly ownerId: string,
    private readonly ledger: Ledger,
    private readonly catalog: Catalog,
    private readonly options: OwnerServerOptions,
  ) {
    const { locks: table, recordLocks: record } = options;
    const writable = (version: string) => catalog.get(version)?.writable ?? false;
    this.locks = new LockServer({ ledger, table, writable, record });
    for (const entry of catalog.list()) {
      if (entry.presence === "orphaned") this.orphans.set(entry.set, entry);
    }
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
    const refusal = this.refusal(channel);
    const id = this.nextSession++;
    const identity = this.watches.identify(channel);
    this.ledger.connectionOpened(id, identity);
    const connection = new ServerConnection({
      channel,
      start: native.startChannel,
      handlers: this.handlers(id, identity),
      onHello: ({ driver }) => {
        assertSameProvider(driver.provider);
        return this.welcome();
      },
      onFarewell: () => this.catalog.apply(this.ledger.farewell(id)),
      onClose: (error) => this.connectionClosed(id, error),
      // An offer brings all of a version's tensors.
      maxFrameBytes: this.options.recovery?.active ? maxFrameBytes : undefined,
    });
    this.sessions.set(id, { id, process: identity.key, connection });
    if (refusal !== undefined) connection.fail(refusal);
  }

  /** Tells everybody who holds a version of its set that there is a new one. */
  announceVersion(entry: CatalogEntry): void {
    this.orphans.delete(entry.set);
    for (const version of this.ledger.versions()) {
      if (version.set !== entry.set || version.id === entry.id) continue;
      for (const session of this.ledger.connectionsOf({ version: version.id })) {
        this.sessions
          .get(session)
          ?.connection.notify("superseded", { set: entry.set, version: version.id, by: entry.id });
      }
    }
  }

  /** Tells whoever holds a version that it is current again. */
  announceReinstated({ id, set }: CatalogEntry): void {
    for (const session of this.ledger.connectionsOf({ version: id })) {
      this.sessions.get(session)?.connection.notify("reinstated", { set, version: id });
    }
  }

  announceRetired(set: string): void {
    const versions = this.ledger.versions().flatMap((version) => (version.set === set ? [version.id] : []));
    for (const session of this.ledger.connectionsOf({ set })) {
      this.sessions.get(session)?.connection.notify("retired", { set, versions });
    }
  }

  /** From here on no lease is granted and no connection is accepted. */
  refuseNew(): void {
    this.closing = true;
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
    for (const { connection } of this.sessions.values()) {
      connection.resume();
      connection.notify("closing", { reason });
    }
    this.close();
  }

  close(): void {
    this.ended = true;
    clearTimeout(this.expiry);
    for (const { connection } of [...this.sessions.values()]) connection.close();
    this.watches.close();
  }

  /** Without a recovery it is the same for every client: checked and encoded once for the provider that is chosen. */
  private welcome(): Welcome | EncodedMessage {
    const { recovery } = this.options;
    const provider = native.chosenProvider();
    if (recovery === undefined && this.encodedWelcome?.provider === provider) {
      return this.encodedWelcome.message;
    }
    const welcome = {
      owner: { id: this.ownerId, pid: process.pid, startTime: processStartTime() },
      server: software,
      driver: { provider, version: null },
      recovering: recovery?.active ?? false,
      wanted: recovery?.wanted() ?? [],
    };
    if (recovery !== undefined) return welcome;
    const message = welcomeMessage(welcome);
    this.encodedWelcome = { provider, message };
    return message;
  }

  private refusal(channel: NativeChannel): CudaIpcError | undefined {
    const { uid, pid } = channel.peer;
    if (!this.options.allowUids.includes(uid)) {
      return new CudaIpcError(
        "ERR_CUDA_IPC_FORBIDDEN",
        `User ${uid} (process ${pid}) may not attach here. The owner allows others with { allowUids }.`,
        { details: { uid } },
      );
    }
    if (this.closing) return closed();
    if (this.sessions.size >= this.options.connections) {
      return new CudaIpcError(
        "ERR_CUDA_IPC_CONNECTION_LIMIT",
        `The owner has ${this.sessions.size} connections, and ${this.options.connections} is its limit. Raise limits.connections.`,
        { details: { limit: this.options.connections } },
      );
    }
    return undefined;
  }

  private handlers(session: number, process: ProcessIdentity): RequestHandlers {
    return {
      ...this.locks.handlers(session, process),
      ...this.options.succession.handlers(session, process, () => this.sessions.get(session)!.connection),
      attach: (request) => this.attach(session, request),
      retain: ({ lease, newLease }) => {
        if (this.closing) throw closed();
        const { fresh, version, ...effects } = this.ledger.retain(
          { lease, newLease, connection: session },
          Date.now(),
        );
        this.catalog.apply(effects);
        return { body: { lease: newLease } };
      },
      release: ({ leases }) => {
        const effects = this.ledger.release(leases, session);
        this.catalog.apply(effects);
        return { body: { ended: effects.ended.length } };
      },
      reclaim: ({ leases }) => {
        const { kept, ...effects } = this.ledger.reclaim(leases, session);
        this.catalog.apply(effects);
        this.catchUp(session, kept);
        return { body: { kept } };
      },
      offer: (request, fds) => this.offer(session, request, fds),
      status: () => ({ body: { sets: this.status(), locks: this.locks.status() } }),
    };
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
    this.catchUp(session, outcome.kept);
    return { body: { ...outcome } };
  }

  /** What the holder of these leases has not heard of while it had no owner. */
  private catchUp(session: number, leases: readonly string[]): void {
    const connection = this.sessions.get(session)?.connection;
    const versions = new Set(leases.map((lease) => this.ledger.lease(lease)?.version ?? ""));
    for (const id of versions) {
      const entry = this.catalog.get(id);
      const state = this.ledger.version(id)?.state;
      if (entry === undefined) continue;
      if (state === "current") connection?.notify("reinstated", { set: entry.set, version: id });
      if (state === "retired") connection?.notify("retired", { set: entry.set, versions: [id] });
      const by = this.ledger.current(entry.set);
      if (state === "superseded" && by !== undefined) {
        connection?.notify("superseded", { set: entry.set, version: id, by });
      }
    }
  }

  private attach(
    session: number,
    request: RequestMessage<"attach">,
  ): Answer<"attach"> | Promise<Answer<"attach">> {
    if (this.closing) throw closed();
    const entry = this.find(request);
    const { recovery } = this.options;
    if (entry.presence === "awaited" && recovery !== undefined) {
      return this.whenSettled(session, recovery, entry).then(() => this.attach(session, request));
    }
    if (request.access === "readwrite" && !entry.writable) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_NOT_WRITABLE",
        `Version ${entry.number} of ${JSON.stringify(entry.set)} was not published as writable. Load it with { writable: true }, or attach with access "read".`,
      );
    }
    const following = manifestOf(entry);
    const { fresh, ...effects } = this.ledger.grant(
      { lease: request.lease, version: entry.id, connection: session },
      Date.now(),
    );
    this.catalog.apply(effects);
    const fds = entry.slabs.flatMap(({ fd }) => (fd === undefined ? [] : [fd]));
    const onUnsent = () => this.catalog.apply(this.ledger.release([request.lease], session));
    return { body: granted(request.lease, entry), fds, following, onUnsent };
  }

  /** Waiting takes memory, and no lease is counted for it yet: so many requests of one connection may. */
  private async whenSettled(session: number, recovery: Recovery, entry: CatalogEntry): Promise<void> {
    const waiting = this.awaiting.get(session) ?? 0;
    if (waiting >= maxLeasesPerRequest) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_LEASE_LIMIT",
        `${waiting} requests of this connection wait for versions that the owner is recovering, and that is the limit. Ask again when it has recovered.`,
        { details: { scope: "waiting", leases: waiting, limit: maxLeasesPerRequest } },
      );
    }
    this.awaiting.set(session, waiting + 1);
    try {
      await recovery.whenSettled(entry);
    } finally {
      const left = this.awaiting.get(session)! - 1;
      if (left > 0) this.awaiting.set(session, left);
      else this.awaiting.delete(session);
    }
  }

  private find({ set, version, checksum }: RequestMessage<"attach">): CatalogEntry {
    const current = this.catalog.current(set);
    const entry = version === null ? current : this.catalog.get(version);
    const orphan = version === null && current === undefined ? this.orphans.get(set) : entry;
    if (orphan?.set === set && orphan.presence === "orphaned") throw ownerDied(orphan);
    if (entry === undefined || entry.set !== set) {
      const known = [...new Set(this.catalog.list().map((other) => other.set))].filter((name) =>
        this.catalog.current(name),
      );
      throw version === null ? noSet(set, known) : noVersion(set, version, known);
    }
    if (checksum !== null && checksum !== entry.checksum) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_CHECKSUM_MISMATCH",
        `Version ${entry.number} of ${JSON.stringify(set)} has the checksum ${entry.checksum}, not ${checksum}: it holds other weights. ` +
          "Publish the ones that are expected, or attach without { checksum } to take what there is.",
        { details: { expected: checksum, actual: entry.checksum } },
      );
    }
    return entry;
  }

  private status(): SetStatus[] {
    const sets = new Map<string, SetStatus>();
    for (const entry of this.catalog.list()) {
      const set = sets.get(entry.set) ?? { name: entry.set, versions: [] };
      set.versions.push(versionStatus(entry, this.ledger));
      sets.set(entry.set, set);
    }
    return [...sets.values()];
  }

  private connectionClosed(id: number, error: CudaIpcError | undefined): void {
    if (this.frozen !== undefined) {
      this.frozen.push(() => this.connectionClosed(id, error));
      // It may be the successor's: then this owner goes on.
      this.options.succession.connectionClosed(id);
      return;
    }
    this.options.succession.connectionClosed(id);
    this.sessions.delete(id);
    if (error !== undefined) this.options.onPeerError(error);
    this.catalog.apply(this.ledger.connectionClosed(id, Date.now()));
    this.locks.connectionClosed(id);
    this.watches.prune((key) => this.needs(key));
    this.scheduleExpiry();
  }

  private needs(process: string): boolean {
    return this.ledger.knows(process) || this.locks.knows(process) || this.options.succession.knows(process);
  }

  private processExited(key: string): void {
    if (this.frozen !== undefined) {
      this.frozen.push(() => this.processExited(key));
      return;
    }
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

/** Memory of one provider means nothing to the other: told here, it is not told by a failed import. */
function assertSameProvider(provider: string): void {
  const own = native.chosenProvider();
  // "none" is who only asks, and maps nothing.
  if (provider === own || provider === "none") return;
  throw new CudaIpcError(
    "ERR_CUDA_IPC_PROVIDER",
    `The owner runs on the driver "${own}", this process on "${provider}". Choose the same one for both: CUDA_IPC_DRIVER=${own}, or { driver: "${own}" }.`,
    { details: { owner: own, client: provider } },
  );
}

function closed(): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_CLOSED",
    "The owner is closing: it grants neither leases nor locks any more.",
  );
}
