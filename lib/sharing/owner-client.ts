import { setTimeout as delay } from "node:timers/promises";
import { CudaIpcError } from "../errors.js";
import { type Access, type NativeChannel, native } from "../native.js";
import { ClientConnection } from "../wire/client.js";
import { unpackTensors } from "../wire/manifest.js";
import type {
  EventType,
  OwnerMessages,
  ReplyMessage,
  RequestMessage,
  RequestType,
} from "../wire/messages.js";
import type { Reply } from "../wire/pending.js";
import { Attachment } from "./attachment.js";
import { randomId } from "./ids.js";
import type { RefCount } from "./ledger-types.js";
import { Lock, type LockOptions } from "./lock.js";
import { LockClient } from "./lock-client.js";
import { checkManifest } from "./manifest.js";
import { locateSlabs, mapSlabs } from "./map-slabs.js";
import { software } from "./software.js";
import { type LeaseService, Weights } from "./weights.js";

export interface AttachRequest {
  set: string;
  version: string | null;
  checksum: string | null;
  access: Access;
}

export interface RequestLimits {
  /** Milliseconds. */
  timeout?: number;
  signal?: AbortSignal;
}

interface Held {
  readonly attachment: Attachment;
  /** Weak, so that weights nobody uses can be collected, and their lease with them. */
  readonly weights: WeakRef<Weights>;
}

interface Line {
  readonly channel: NativeChannel;
  readonly connection: ClientConnection;
  readonly ownerId: Promise<string>;
}

/** How long a connection that nobody needs stays, for whoever attaches again. */
const lingerMs = 1000;
const firstRetryMs = 20;
const longestRetryMs = 2000;

const clients = new Map<string, OwnerClient>();

/** This environment's client of the owner on that socket: one connection, however many leases. */
export function clientOf(socket: string): OwnerClient {
  let client = clients.get(socket);
  if (client === undefined) {
    client = new OwnerClient(socket);
    clients.set(socket, client);
  }
  return client;
}

/**
 * Closes, now, the connections to owners that no lease of this thread needs. They close by themselves a second after
 * the last lease has ended, and they never keep a process alive: this is for whoever counts descriptors.
 */
export function disconnect(): void {
  for (const client of clients.values()) client.disconnect();
}

/**
 * A process's end of the wire: attaches, releases, and outlives its connection. The connection is open while a
 * lease is held or a request is under way, and a moment longer. When it breaks, the client reconnects by itself and reclaims what the
 * owner still counts.
 */
export class OwnerClient implements LeaseService {
  private readonly held = new Map<string, Held>();
  /** Leases that may be counted by the owner although nobody here holds them. */
  private readonly debts = new Set<string>();
  /** Granted leases whose memory is being mapped. */
  private readonly granted = new Set<string>();
  private line: Promise<Line> | undefined;
  /** What `line` resolved to, until it breaks or is closed. */
  private open: Line | undefined;
  private lastOwner: string | undefined;
  private operations = 0;
  /** While the connection is broken: settles when the owner has been told what this process holds. */
  private reconnecting: Promise<void> | undefined;
  private lingering: NodeJS.Timeout | undefined;
  private readonly locks: LockClient;

  constructor(private readonly socket: string) {
    const client = this;
    this.locks = new LockClient({
      request: (type, body, limits) => client.request(type, body, limits),
      ready: async () => client.reconnecting,
      get connected() {
        return client.open !== undefined && client.reconnecting === undefined;
      },
    });
  }

  /** Closes the connection unless it is needed. */
  disconnect(): void {
    if (this.owing || this.operations > 0) return;
    clearTimeout(this.lingering);
    this.lingering = undefined;
    const closing = this.open;
    if (closing === undefined) return;
    this.line = undefined;
    this.open = undefined;
    closing.connection.close();
  }

  attach(request: AttachRequest, limits: RequestLimits): Promise<Weights> {
    return this.whileNeeded(() => this.attachNow(request, limits));
  }

  retain(attachment: Attachment, access: Access): Promise<Weights> {
    return this.whileNeeded(() => this.retainNow(attachment, access));
  }

  lock(weights: Weights, lease: string, name: string, options: LockOptions): Promise<Lock> {
    return this.whileNeeded(() =>
      this.locks.acquire(lease, name, options, (grip) => new Lock(weights, name, grip)),
    );
  }

  private async attachNow(request: AttachRequest, limits: RequestLimits): Promise<Weights> {
    // Bringing the driver up takes longer than all of the rest: it goes on beside it. What fails is told later.
    const warm = native.driverIsUp() ? undefined : native.devices().catch(() => {});
    const lease = randomId();
    const { message, fds } = await this.request("attach", { ...request, lease }, limits, lease);
    this.granted.add(lease);
    try {
      await warm;
      const { version } = message;
      const sources = await locateSlabs(message.slabs, fds);
      const mapping = mapSlabs(sources, request.access);
      mapping.catch(() => {});
      // While the driver maps, on a thread of its own, this one looks the manifest over.
      const tensors = checkOrWait(mapping, () =>
        checkManifest(unpackTensors(version.tensors), message.slabs),
      );
      const facts = { ...version, checksum: version.checksum ?? "" };
      const attachment = new Attachment(lease, facts, await mapping, await tensors, (id) => this.end(id));
      const weights = this.hold(attachment, request.access);
      if (limits.signal?.aborted) {
        await weights.release({ after: null });
        throw limits.signal.reason;
      }
      return weights;
    } catch (error) {
      for (const fd of fds) fd.close();
      await this.end(lease);
      throw error;
    }
  }

  private async retainNow(attachment: Attachment, access: Access): Promise<Weights> {
    const newLease = randomId();
    await this.request("retain", { lease: attachment.lease, newLease }, {}, newLease);
    this.granted.add(newLease);
    const sources = attachment.slabs.map((slab) => ({ ...slab, fd: slab.fd?.duplicate() }));
    try {
      const slabs = await mapSlabs(sources, access);
      const { version, tensors } = attachment;
      return this.hold(new Attachment(newLease, version, slabs, tensors, (id) => this.end(id)), access);
    } catch (error) {
      for (const { fd } of sources) fd?.close();
      await this.end(newLease);
      throw error;
    }
  }

  async refCount(version: string): Promise<RefCount> {
    const { message } = await this.request("status", {}, { timeout: 10_000 });
    for (const set of message.sets) {
      const found = set.versions.find(({ id }) => id === version);
      if (found !== undefined) return { count: found.refCount, exact: found.exact };
    }
    return { count: 0, exact: true };
  }

  private hold(attachment: Attachment, access: Access): Weights {
    const weights = new Weights(attachment, access, this);
    this.granted.delete(attachment.lease);
    this.held.set(attachment.lease, { attachment, weights: new WeakRef(weights) });
    return weights;
  }

  /** Ends a lease at the owner, now if it can be reached, else when it can. Never rejects: the memory is let go. */
  private end(lease: string): Promise<void> {
    this.held.delete(lease);
    this.granted.delete(lease);
    this.debts.add(lease);
    return this.whileNeeded(async () => {
      await this.locks.leaseEnds(lease);
      if (this.line === undefined) {
        this.reconnect();
        return;
      }
      try {
        await this.request("release", { leases: [lease] }, {});
        this.debts.delete(lease);
      } catch {
        // The connection broke: the lease stays a debt until the owner is reached again.
      }
    });
  }

  /** The same for a lease that nobody waits for: keeps the connection, but no process alive. */
  private giveBack(lease: string): void {
    this.debts.add(lease);
    if (this.open === undefined) {
      this.reconnect();
      return;
    }
    this.open.connection.request("release", { leases: [lease] }, { background: true }).then(
      () => {
        this.debts.delete(lease);
        this.closeIfIdle();
      },
      () => {},
    );
  }

  /** How many the owner counts, or may count. */
  private get leases(): number {
    return this.held.size + this.granted.size + this.debts.size;
  }

  /** Keeps the connection, and the process, while an operation is under way. */
  private async whileNeeded<T>(operation: () => Promise<T>): Promise<T> {
    this.operations++;
    try {
      return await operation();
    } finally {
      this.operations--;
      this.settleRef();
      this.closeIfIdle();
    }
  }

  private request<K extends RequestType>(
    type: K,
    body: Parameters<ClientConnection["request"]>[1] & object,
    { timeout, signal }: RequestLimits,
    lease?: string,
  ): Promise<Reply<ReplyMessage<K>>> {
    return this.whileNeeded(async () => {
      const lingering = this.held.size === 0 ? this.open : undefined;
      const line = await this.connect(timeout, signal);
      const { connection, channel } = line;
      channel.ref();
      try {
        return await connection.request(type, body as never, { signal, timeoutMs: timeout });
      } catch (error) {
        // That owner ended while nobody needed it: whoever listens there now is asked, as if there had been no line.
        if (line === lingering && isLost(error)) return this.request(type, body, { timeout, signal }, lease);
        // Granted or not, or only later: nobody can tell, so it is returned as if it were.
        if (lease !== undefined && (connection.closed || isGivenUp(error, signal))) this.giveBack(lease);
        throw error;
      }
    });
  }

  private connect(timeout?: number, signal?: AbortSignal): Promise<Line> {
    if (this.open !== undefined) return Promise.resolve(this.open);
    this.line ??= this.dial();
    return timeout === undefined && signal === undefined ? this.line : withLimits(this.line, timeout, signal);
  }

  private async dial(): Promise<Line> {
    try {
      const channel = await native.connect(this.socket);
      const connection: ClientConnection = new ClientConnection({
        channel,
        start: native.startChannel,
        hello: {
          client: software,
          driver: { provider: native.chosenProvider(), version: null },
          devices: null,
        },
        onEvent: (event) => this.onEvent(event),
        onLate: (request) => this.onLate(request),
        onClose: (error) => this.onClose(line, error),
      });
      const ownerId = connection.welcome.then(({ owner }) => owner.id);
      ownerId.catch(() => {});
      const line: Line = { channel, connection, ownerId };
      this.open = line;
      return line;
    } catch (error) {
      this.line = undefined;
      throw error;
    }
  }

  private onEvent(event: OwnerMessages[EventType]): void {
    if (event.type === "closing") return;
    for (const { attachment, weights } of this.held.values()) {
      if (attachment.version.set !== event.set) continue;
      if (event.type === "retired") weights.deref()?.emit("retired", { set: event.set });
      else if (attachment.version.id === event.version) {
        weights.deref()?.emit("superseded", { set: event.set, version: event.by });
      }
    }
  }

  /** A lease was granted to a request that had been given up: it goes back at once. */
  private onLate(request: RequestMessage): void {
    if (request.type === "attach") this.giveBack(request.lease);
    if (request.type === "retain") this.giveBack(request.newLease);
  }

  private onClose(line: Line, error: CudaIpcError | undefined): void {
    line.ownerId.then(
      (id) => {
        this.lastOwner = id;
      },
      () => {},
    );
    if (this.open !== line) return;
    this.open = undefined;
    this.line = undefined;
    for (const { weights } of this.held.values()) weights.deref()?.emit("ownerlost", error);
    if (this.owing) this.reconnect();
  }

  /** Tries until there is an owner again, or nothing left to tell one. Keeps no process alive. */
  private reconnect(): void {
    this.reconnecting ??= this.reconnectNow().finally(() => {
      this.reconnecting = undefined;
    });
  }

  private async reconnectNow(): Promise<void> {
    for (let wait = firstRetryMs; this.owing; wait = Math.min(2 * wait, longestRetryMs)) {
      await delay(wait * (0.5 + Math.random()), undefined, { ref: false });
      if (await this.resume()) return;
    }
  }

  /** Whether there is something to tell an owner. */
  private get owing(): boolean {
    return this.leases > 0 || this.locks.owing;
  }

  /** Tells the owner which leases live on and which do not. False when it could not be told. */
  private async resume(): Promise<boolean> {
    try {
      const { ownerId, connection } = await this.connect();
      const sameOwner = (await ownerId) === this.lastOwner;
      const debts = [...this.debts];
      if (debts.length > 0) await connection.request("release", { leases: debts }, { background: true });
      for (const lease of debts) this.debts.delete(lease);
      const leases = [...this.granted, ...this.held.keys()];
      if (sameOwner && leases.length > 0)
        await connection.request("reclaim", { leases }, { background: true });
      await this.locks.resume(connection);
      this.closeIfIdle();
      return true;
    } catch {
      return false;
    }
  }

  private settleRef(): void {
    if (this.operations > 0) return;
    this.line?.then(
      ({ channel }) => {
        if (this.operations === 0) channel.unref();
      },
      () => {},
    );
  }

  private closeIfIdle(): void {
    if (this.owing || this.operations > 0) return;
    if (this.open === undefined) {
      // Still being made, for somebody who has given up.
      this.line?.then(
        () => this.closeIfIdle(),
        () => {},
      );
      return;
    }
    this.lingering ??= setTimeout(() => {
      this.lingering = undefined;
      this.disconnect();
    }, lingerMs).unref();
    this.lingering.refresh();
  }
}

function isGivenUp(error: unknown, signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true || (error as CudaIpcError).code === "ERR_CUDA_IPC_TIMEOUT";
}

function isLost(error: unknown): boolean {
  return error instanceof CudaIpcError && error.code === "ERR_CUDA_IPC_CONNECTION_LOST";
}

/** Runs the check; when it fails, lets `work` finish and be undone first. */
async function checkOrWait<T>(
  work: Promise<{ mapping: { close(after: null): Promise<void> } }[]>,
  check: () => T,
) {
  try {
    return check();
  } catch (error) {
    const slabs = await work.catch(() => []);
    await Promise.allSettled(slabs.map(({ mapping }) => mapping.close(null)));
    throw error;
  }
}

function withLimits<T>(
  promise: Promise<T>,
  timeout: number | undefined,
  signal: AbortSignal | undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer =
      timeout === undefined
        ? undefined
        : setTimeout(
            () =>
              settle(() =>
                reject(
                  new CudaIpcError(
                    "ERR_CUDA_IPC_TIMEOUT",
                    `No connection to the owner within ${timeout} ms. It is stopped, or busy; try again or allow more time.`,
                    { details: { milliseconds: timeout } },
                  ),
                ),
              ),
            timeout,
          );
    const abort = () => settle(() => reject(signal!.reason));
    const settle = (finish: () => void) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      finish();
    };
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) return abort();
    promise.then(
      (value) => settle(() => resolve(value)),
      (error) => settle(() => reject(error)),
    );
  });
}
