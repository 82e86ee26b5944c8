import { CudaIpcError } from "../errors.js";
import { type Access, type NativeAddon, native } from "../native.js";
import type { ClientConnection, ClientRequestOptions, ReplyTo } from "../wire/client.js";
import type { RequestMessage, RequestType } from "../wire/messages.js";
import type { Asker } from "./asked-line.js";
import { AttachAttempt } from "./attach-attempt.js";
import { attachSteps } from "./attach-steps.js";
import { Attachment } from "./attachment.js";
import { Bequest, Debts } from "./bequest.js";
import { bringUpDriver } from "./bring-up.js";
import { watchForCollection } from "./collection.js";
import { type FirstRequest, requestFirst } from "./first-request.js";
import { HeldLeases } from "./held-leases.js";
import { randomId } from "./ids.js";
import { later } from "./later.js";
import type { RefCount } from "./ledger-types.js";
import type { Lock, LockOptions } from "./lock.js";
import type { LockClient } from "./lock-client.js";
import { mapSlabs } from "./map-slabs.js";
import type { AttachedOpener } from "./open-attached.js";
import { type Dialer, OwnerLink } from "./owner-link.js";
import { attemptUntil, countdown, hasCode, isLost, type RequestLimits, withLimits } from "./patience.js";
import { type LatestOptions, type LeaseService, Weights } from "./weights.js";

export interface AttachRequest {
  set: string;
  version: string | null;
  checksum: string | null;
  access: Access;
}

/** A reply, and the line on which it came: what it grants is known to that line's owner as long as the line stands. */
type Granted<K extends RequestType> = ReplyTo<K> & { line: ClientConnection };

/** A lease to be asked for. */
interface NewLease {
  lease: string;
  /** Whether its memory may come ahead. */
  ahead: boolean;
  /** Whether it has been asked for, on a line made for that. */
  asked: boolean;
}

/** Limits of a request, and who is told of its reply at once. */
interface Asking<K extends RequestType>
  extends RequestLimits,
    Pick<ClientRequestOptions<K>, "onReply" | "onAhead"> {
  /** The request is on its way. */
  asked?: boolean;
  /** Of a failed request for a lease: lets go of what came ahead. */
  undo?(): Promise<void> | undefined;
  /** Whether what came ahead is on loan: the owner keeps it until the lease is released. */
  borrows?(): boolean;
}

/** What an attach uses of the addon: another one in a rehearsal. */
export type AttachAddon = Dialer &
  Asker &
  AttachedOpener &
  Pick<NativeAddon, "driverIsUp" | "devices" | "testament">;

/** How long the end of a lease waits for the owner's word; the memory is unmapped by then. */
const releaseMs = 2000;
/** How long operations without a timeout of their own wait for an owner. */
const patienceMs = 10_000;

/**
 * A process's end of the wire: attaches, releases, and outlives its connection. When that breaks, the next owner is
 * told what this process holds and what it has released meanwhile.
 */
export class OwnerClient implements LeaseService {
  private readonly held = new HeldLeases();
  /** Leases that may be counted by the owner although nobody here holds them. */
  private readonly debts: Debts;
  /**
   * The same, of connections that ended before a welcome came: as a rule that owner has done nothing, or lives no more, so
   * none is looked for; the next one that says welcome is told.
   */
  private readonly doubts = new Set<string>();
  /** Granted leases whose memory is being mapped. */
  private readonly granted = new Set<string>();
  private readonly link: OwnerLink;
  /** From the first lock on. */
  private locks: LockClient | undefined;

  constructor(
    private readonly socket: string,
    private readonly addon: AttachAddon = native,
    private readonly bequest: Bequest = new Bequest(socket, addon),
  ) {
    this.debts = new Debts(this.bequest);
    this.link = new OwnerLink(socket, addon, {
      owing: () => this.held.size + this.granted.size + this.debts.size > 0 || this.locks?.owing === true,
      doubting: () => this.doubts.size > 0,
      tell: async (line) => {
        await this.resume(line, () => this.held.attachments());
        await this.locks?.resume(line);
      },
      onEvent: (event) => {
        if (event.type === "superseded" || event.type === "reinstated" || event.type === "retired") {
          this.held.tell(event);
        }
      },
      onLate: (request) => this.onLate(request),
      onLost: (error) => this.held.ownerLost(error),
    });
  }

  /** Closes the connection unless it is needed. */
  disconnect(): void {
    this.link.disconnect();
  }

  /** Waits for the next owner where one has died. `begun`: the request is under way on a line of its own. */
  attach(request: AttachRequest, limits: RequestLimits, begun?: FirstRequest): Promise<Weights> {
    // The owner answers while the attempt is made here.
    let first = limits.signal?.aborted ? undefined : this.beginWith(request, begun);
    return this.patiently(limits, (left) => {
      const lease = first;
      first = undefined;
      return this.attachNow(request, left, lease);
    });
  }

  retain(attachment: Attachment, access: Access): Promise<Weights> {
    return this.patiently({ timeout: patienceMs }, (left) => this.retainNow(attachment, access, left));
  }

  latest(set: string, access: Access, limits: LatestOptions): Promise<Weights> {
    return this.attach({ set, version: null, checksum: null, access }, limits);
  }

  lock(weights: Weights, lease: string, name: string, options: LockOptions): Promise<Lock> {
    this.locks ??= this.startLocks();
    const { locks } = this;
    const { Lock } = later.lock();
    return this.link.whileNeeded(() =>
      locks.acquire(lease, name, options, (grip) => new Lock(weights, name, grip)),
    );
  }

  private startLocks(): LockClient {
    const { link } = this;
    const { LockClient } = later.lockClient();
    return new LockClient({
      request: (type, body, limits) => this.request(type, body, limits),
      ready: () => link.ready(),
      get connected() {
        return link.open !== undefined;
      },
    });
  }

  refCount(version: string): Promise<RefCount> {
    return this.patiently({ timeout: patienceMs }, async (left) => {
      const { message } = await this.request("status", {}, left);
      for (const set of message.sets) {
        const found = set.versions.find(({ id }) => id === version);
        if (found !== undefined) return { count: found.refCount, exact: found.exact };
      }
      return { count: 0, exact: true };
    });
  }

  /** The lease that is asked for first, on a new line where there is none. */
  private beginWith(request: AttachRequest, begun?: FirstRequest): NewLease | undefined {
    if (this.link.started) return undefined;
    const { lease, asked } = begun ?? requestFirst(this.socket, this.addon, request, this.bequest);
    if (asked === undefined) return { lease, ahead: true, asked: false };
    try {
      this.link.adopt(asked);
    } catch (error) {
      // It may be granted, and nobody waits for that; and what came ahead may be mapped.
      this.giveBack(
        lease,
        asked.grants.end(lease)?.catch(() => {}),
      );
      throw error;
    }
    return { lease, ahead: true, asked: true };
  }

  private async attachNow(
    request: AttachRequest,
    limits: RequestLimits,
    { lease, ahead, asked }: NewLease = { lease: randomId(), ahead: true, asked: false },
  ): Promise<Weights> {
    const left = countdown(limits);
    let weights: Weights | undefined;
    const attempt = new AttachAttempt(lease, request.access, {
      addon: this.addon,
      onGranted: (id) => this.granted.add(id),
      onEnd: (id) => this.end(id),
      // While the driver maps.
      onOpening: (attachment) => {
        weights = new Weights(attachment, request.access, this);
      },
    });
    const { onReply, onAhead } = attempt;
    const asking: Asking<"attach"> = {
      ...left(),
      ...{ asked, onReply, ...(ahead && { onAhead }) },
      undo: () => attempt.undo(),
      borrows: () => attempt.borrows,
    };
    const granted = this.request("attach", { ...request, lease }, asking, lease);
    // Where it is not up, that takes longer than all of the rest, and goes on beside it.
    bringUpDriver(this.addon);
    const { line } = await granted;
    if (attempt.outdated) {
      // The loan ends with the lease alone, and must not last as long as the weights: they get another lease.
      const undone = both(attempt.undo(), line.undo(lease));
      this.granted.delete(lease);
      this.giveBack(lease, undone);
      await undone;
      // With nothing ahead: however fast versions follow one another, it gets one.
      return this.attachNow(request, left(), { lease: randomId(), ahead: false, asked: false });
    }
    const attachment = await attempt.attachment(limits.signal);
    const made = weights!;
    // The attempt lives on with the lease, which must not keep the weights: they may be collected.
    weights = undefined;
    return this.hold(attachment, made, line);
  }

  private async retainNow(attachment: Attachment, access: Access, limits: RequestLimits): Promise<Weights> {
    const newLease = randomId();
    const { line } = await this.request("retain", { lease: attachment.lease, newLease }, limits, newLease);
    this.granted.add(newLease);
    const sources = attachment.slabs.map((slab) => ({ ...slab, fd: slab.fd?.duplicate() }));
    try {
      const slabs = await mapSlabs(sources, access, (source) => this.addon.openSlab(source));
      const { version, tensors } = attachment;
      const retained = new Attachment(newLease, version, slabs, tensors, (id) => this.end(id));
      return this.hold(retained, new Weights(retained, access, this), line);
    } catch (error) {
      for (const { fd } of sources) fd?.close();
      await this.end(newLease);
      throw error;
    }
  }

  private hold(attachment: Attachment, weights: Weights, grantedOn: ClientConnection): Weights {
    watchForCollection(weights, attachment);
    this.granted.delete(attachment.lease);
    this.held.add(attachment, weights);
    const line = this.link.open;
    // While the memory was being mapped the owner changed, and the next one may have been told before this was held.
    if (line !== undefined && line !== grantedOn) this.resume(line, () => [attachment]).catch(() => {});
    return weights;
  }

  /** Ends a lease at the owner, now if it can be reached, else when it can. Never rejects: the memory is let go. */
  private end(lease: string): Promise<void> {
    this.held.delete(lease);
    this.granted.delete(lease);
    this.debts.add(lease);
    return this.link.whileNeeded(async () => {
      await this.locks?.leaseEnds(lease);
      if (!this.link.started) return;
      try {
        await this.request("release", { leases: [lease] }, { timeout: releaseMs });
        this.debts.delete(lease);
      } catch (error) {
        // Where nobody has answered it stays a debt until an owner has.
        if (!isUnanswered(error)) this.debts.delete(lease);
      }
    });
  }

  /**
   * The same for a lease that nobody has heard of here, when what was mapped for it is undone: nobody waits for it, and
   * no process stays for it.
   */
  private giveBack(lease: string, undone?: Promise<void>): void {
    if (undone !== undefined) {
      this.granted.add(lease);
      undone.then(() => {
        this.granted.delete(lease);
        this.giveBack(lease);
      });
      return;
    }
    this.debts.add(lease);
    this.link.open?.request("release", { leases: [lease] }, { background: true }).then(
      () => {
        this.debts.delete(lease);
        this.link.settle();
      },
      () => {},
    );
    this.link.settle();
  }

  /** Keeps the connection while an operation is under way, and repeats what failed because an owner died. */
  private patiently<T>(limits: RequestLimits, attempt: (left: RequestLimits) => Promise<T>): Promise<T> {
    const passes = async (error: unknown) =>
      isLost(error) || (hasCode(error, "NO_OWNER") && this.link.successorExpected);
    return this.link.whileNeeded(() => attemptUntil(limits, attempt, passes));
  }

  private request<K extends RequestType>(
    type: K,
    body: Parameters<ClientConnection["request"]>[1] & object,
    asking: Asking<K>,
    lease?: string,
  ): Promise<Granted<K>> {
    const { signal, asked = false, onReply, onAhead } = asking;
    const left = countdown(asking);
    return this.link.whileNeeded(async () => {
      const before = this.held.size === 0 ? this.link.open : undefined;
      const lingering = before?.greeted ? before : undefined;
      const line = this.link.openNow() ?? (await withLimits(this.link.connect(), left(), unreachable));
      if (!asked) attachSteps.tell?.("connected");
      if (lease !== undefined) this.bequest.add(lease);
      try {
        const options = { signal, timeoutMs: left().timeout, onReply, onAhead };
        const reply = line.request(type, body as never, options);
        if (!asked) attachSteps.tell?.("asked");
        return { ...(await reply), line };
      } catch (error) {
        const undone = lease === undefined ? undefined : both(asking.undo?.(), line.undo(lease));
        // That owner ended while nobody needed it: whoever listens there now is asked, as if there had been no line.
        if (line === lingering && isLost(error)) {
          await undone;
          try {
            return await this.request(type, body, { ...asking, ...left() }, lease);
          } catch (again) {
            // It may have granted the lease before it ended, and have left that to the next owner in its journal.
            const known = lease !== undefined && this.link.successorExpected;
            if (known && !this.granted.has(lease)) this.giveBack(lease);
            throw again;
          }
        }
        // Granted or not: where nobody has answered nobody can tell, and it is given back.
        const unanswered = line.closed ? hasBegun(line, error) : isUnanswered(error) || signal?.aborted;
        if (lease !== undefined) {
          if (unanswered || asking.borrows?.()) this.giveBack(lease, undone);
          else if (line.closed && (isLost(error) || hasCode(error, "PROTOCOL"))) this.doubts.add(lease);
          else this.bequest.delete(lease);
          // What came ahead of no grant is not held any more when that is told; but whoever has aborted is told at once.
          if (!signal?.aborted) await undone;
        }
        throw error;
      }
    });
  }

  private async resume(line: ClientConnection, held: () => Attachment[]): Promise<void> {
    const { owner } = await line.welcome;
    for (const lease of this.doubts) this.debts.add(lease);
    this.doubts.clear();
    await later.resume().resumeLeases(line, {
      held,
      granted: this.granted,
      debts: this.debts,
      onAnswer: (lease, kept) => this.held.ownerFound(lease, { owner: owner.id, kept }),
    });
  }

  /** What was granted to a request that had been given up goes back at once. */
  private onLate(request: RequestMessage): void {
    // While what was mapped for it is being undone, it goes back behind that.
    if (request.type === "attach" && !this.granted.has(request.lease)) this.giveBack(request.lease);
    if (request.type === "retain") this.giveBack(request.newLease);
    if (request.type === "release") for (const lease of request.leases) this.debts.delete(lease);
    this.link.settle();
  }
}

function both(one: Promise<void> | undefined, other: Promise<void> | undefined): Promise<void> | undefined {
  return one === undefined ? other : one.then(() => other);
}

/** Of a line that is closed: whether its owner had begun to answer, which may be lost at this process's limit of descriptors. */
function hasBegun(line: ClientConnection, error: unknown): boolean {
  return line.greeted || hasCode(error, "FD_LIMIT");
}

/** Whether the owner may have done what was asked of it, and may not. */
function isUnanswered(error: unknown): boolean {
  return isLost(error) || hasCode(error, "TIMEOUT") || hasCode(error, "NO_OWNER");
}

function unreachable(milliseconds: number): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_TIMEOUT",
    `No connection to the owner within ${milliseconds} ms. It is stopped, or busy; try again or allow more time.`,
    { details: { milliseconds } },
  );
}
