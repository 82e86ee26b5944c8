import { EventEmitter } from "node:events";
import { promises as fs } from "node:fs";
import { type InspectOptionsStylized, inspect } from "node:util";
import { CudaIpcError, checkOptions, invalidArgument } from "../errors.js";
import { loadersGone } from "../loading/load.js";
import { closeSlab } from "../loading/owned-slab.js";
import type { WeightsInput } from "../loading/source.js";
import {
  type NativeChannel,
  type NativeFd,
  type NativeFileLock,
  type NativeListener,
  native,
} from "../native.js";
import type { LockStatus } from "../wire/values.js";
import type { Catalog, CatalogEntry } from "./catalog.js";
import { activatedListener, chosen, type Foundation, inherit } from "./foundation.js";
import { receiveHandover } from "./handover-receive.js";
import { isId, randomId } from "./ids.js";
import { Journal } from "./journal.js";
import { leasesHeld } from "./leases-held.js";
import type { Ledger } from "./ledger.js";
import { recordLocks } from "./lock-record.js";
import {
  type CloseOptions,
  checkOwnerOptions,
  closeOptions,
  type LoadOptions,
  loadOptions,
  type OwnerEvents,
  type OwnerOptions,
  type Recovery,
} from "./owner-options.js";
import { OwnerServer } from "./owner-server.js";
import { exportState, type OwnerParts } from "./owner-state.js";
import { attemptUntil, isLost } from "./patience.js";
import { defaultRecoveryDeadline, readPredecessor } from "./predecessor.js";
import { Publisher } from "./publisher.js";
import { Recovery as VersionRecovery } from "./recovery.js";
import { keptInStore } from "./service-manager/kept.js";
import { OwnerService, standBy } from "./service-manager/owner-service.js";
import { checkSetName } from "./set-name.js";
import { journalPath, prepareSocketFolder, removeStaleSocket } from "./socket-path.js";
import { type Inheritance, Standby } from "./standby.js";
import { processStartTime } from "./start-time.js";
import type { StoredState } from "./stored-state.js";
import { SuccessionServer } from "./succession-server.js";
import { summary } from "./summary.js";
import { Version } from "./version.js";

export type { CloseOptions, LoadOptions, OwnerOptions, Recovery } from "./owner-options.js";

const defaultHandoverMs = 30_000;
/** How long a standby tries when owners end, or hand over, while it asks. */
const standbyMs = 10_000;

/**
 * The process that holds the weights and the ledger, and listens on a Unix socket. `load` publishes versions,
 * workers `attach` to them, and each version is freed when it is neither current nor pinned and its last lease
 * has ended.
 */
export class Owner extends EventEmitter<OwnerEvents> implements AsyncDisposable {
  /** Random, 32 hex characters: this owner and no other. */
  readonly id: string;
  /** The absolute path of the socket. */
  readonly socket: string;
  private readonly lock: NativeFileLock;
  private readonly parts: OwnerParts;
  private readonly ledger: Ledger;
  private readonly catalog: Catalog;
  private readonly server: OwnerServer;
  private readonly handles = new WeakMap<CatalogEntry, Version>();
  private readonly recovery: VersionRecovery | undefined;
  private journal: Journal | undefined;
  private readonly service: OwnerService;
  private readonly publisher: Publisher;
  private stopJournal: (() => void) | undefined;
  private handingOver = false;
  private activated = false;
  private listener: NativeListener | undefined;
  private rehearsal: Promise<void> | undefined;
  private closing: Promise<void> | undefined;
  private readonly aborted = new AbortController();

  private constructor({ socket, lock, parts, recover, manager }: Foundation, options: OwnerOptions) {
    super();
    this.socket = socket;
    this.lock = lock;
    this.parts = parts;
    this.id = randomId();
    this.ledger = parts.ledger;
    this.catalog = parts.catalog;
    this.catalog.on("freed", (entry) => this.emit("freed", this.handle(entry)));
    this.catalog.on("lost", (entry) => this.emit("lost", this.handle(entry)));
    this.catalog.on("supplied", (entry) => this.emit("restored", this.handle(entry)));
    this.catalog.on("ended", ({ lease, version, reason }) =>
      this.emit("leaseended", { lease, version, reason }),
    );
    this.catalog.on("error", (error) => this.report(error));
    this.catalog.on("recovered", () => this.server.locks.recovered());
    if (recover) {
      this.recovery = new VersionRecovery(parts, {
        onRefused: (error) => this.emit("refusedoffer", error),
        onDelayed: (error) => this.report(error),
        signal: this.aborted.signal,
      });
      this.whenRecovered().then(
        (recovery) => this.emit("recovered", recovery),
        () => {},
      );
    }
    this.service = new OwnerService(manager, parts, {
      onError: (error) => this.report(error),
      onRefused: (error) => this.emit("refusedoffer", error),
      strangersMs: options.recoveryDeadline ?? defaultRecoveryDeadline,
    });
    const succession = new SuccessionServer({
      parts,
      lock,
      timeout: options.handoverTimeout ?? defaultHandoverMs,
      prepare: () => this.prepareHandover(),
      freeze: (session) => this.server.freeze(session),
      goOn: (listening) => this.goOn(listening),
      detachListener: () => this.listener!.detach(),
      letGo: () => this.service.letGo({ silently: true }),
      finish: () => this.finishHandover(),
    });
    this.server = new OwnerServer(this.id, this.ledger, this.catalog, {
      allowUids: [process.getuid?.() ?? 0, ...(options.allowUids ?? [])],
      connections: options.limits?.connections ?? 4096,
      recovery: this.recovery,
      succession,
      locks: parts.locks,
      recordLocks: recordLocks(parts.log),
      onPeerError: (error) => this.emit("peererror", error),
    });
    this.publisher = new Publisher({
      catalog: this.catalog,
      recovery: this.recovery,
      loading: options.loading ?? "process",
      signal: this.aborted.signal,
      handle: (entry) => this.handle(entry),
      announce: (entry) => this.server.announceVersion(entry),
    });
  }

  /**
   * Starts to listen. One owner at a time has a socket: ERR_CUDA_IPC_OWNER_RUNNING when another process (or this
   * one) has it. A socket file left by an owner that died is replaced, and what that owner held is recovered from
   * its workers as they reconnect: see `recovering`.
   */
  static listen(options?: OwnerOptions & { orStandby?: false }): Promise<Owner>;
  /** Of several processes that start alike, one becomes the owner and the others its standbys. */
  static listen(options: OwnerOptions & { orStandby: true }): Promise<Owner | Standby<Owner>>;
  static async listen(options: OwnerOptions & { orStandby?: boolean } = {}): Promise<Owner | Standby<Owner>> {
    checkOwnerOptions(options, ["orStandby"]);
    const { orStandby, ...rest } = options;
    if (orStandby) return listenOrStandBy(rest);
    const { socket, mode, manager } = chosen(rest);
    await prepareSocketFolder(socket, mode);
    const lock = native.lockFile(`${socket}.lock`);
    if (lock === undefined) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_OWNER_RUNNING",
        `Another owner has ${socket}. Attach to it, choose another socket, or end it first.`,
        { details: { socket } },
      );
    }
    try {
      const left = await readPredecessor(socket, options);
      const activated = await activatedListener(manager, socket);
      // The lock says that nobody listens, so what is left there is a dead owner's.
      if (activated === undefined) await removeStaleSocket(socket);
      return Owner.begin({ socket, mode, lock, manager, activated, ...left }, options);
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  /**
   * Mirrors the owner that listens on the socket: descriptors of its memory, manifests and leases, without a CUDA
   * context. When the owner dies, this process takes over (`standby.owner`). ERR_CUDA_IPC_NO_OWNER when there is none.
   */
  static async standby(options: OwnerOptions = {}): Promise<Standby<Owner>> {
    const { socket, mode, manager } = chosen(options);
    const begin = async ({ lock, state, memory }: Inheritance) => {
      try {
        await removeStaleSocket(socket);
        const { predecessor, taken } = inherit(state, memory, options);
        const owner = Owner.begin({ socket, mode, lock, manager, ...predecessor }, options);
        memory.handOn(taken);
        return owner;
      } catch (error) {
        lock.close();
        throw error;
      }
    };
    const kept = manager && ((state: StoredState) => keptInStore(manager, state));
    const standby = await attemptUntil(
      { timeout: standbyMs },
      () => Standby.start(socket, begin, kept),
      async (error) => isLost(error),
    );
    if (manager !== undefined) {
      const after = options.recoveryDeadline ?? defaultRecoveryDeadline;
      standBy(manager, socket, { after, onError: (error) => standby.report(error) });
    }
    return standby;
  }

  /**
   * Takes everything over from the owner that runs on the socket (an upgrade of the program, not of the weights): no
   * lease ends, nobody who connects is refused, and the old owner lets go and emits `handedover`. Rejects, and the old
   * owner goes on, with ERR_CUDA_IPC_HANDOVER_IPC while an `ipc` version lives, ERR_CUDA_IPC_RECOVERING,
   * ERR_CUDA_IPC_NO_OWNER, and ERR_CUDA_IPC_HANDOVER_TIMEOUT where this process was stopped for long.
   */
  static async takeOver(options: OwnerOptions & { signal?: AbortSignal } = {}): Promise<Owner> {
    const { socket, mode, manager } = chosen(options, ["signal"]);
    const handover = await receiveHandover(socket, { signal: options.signal });
    const { lock, listener, state, memory } = handover;
    let owner: Owner | undefined;
    let taken: Set<string>;
    try {
      const inherited = inherit(state, memory, options);
      taken = inherited.taken;
      owner = Owner.prepare({ socket, mode, lock, manager, ...inherited.predecessor }, options, true);
      // Who connects waits until then: what is granted here must not be unknown to an old owner that goes on.
      await handover.taken();
    } catch (error) {
      owner?.journal?.discard();
      handover.giveUp();
      throw error;
    }
    owner.journal?.install();
    memory.handOn(taken);
    owner.adoptListener(listener);
    owner.serve({ handedOver: true });
    listener.close();
    return owner;
  }

  /** @internal Listens on what belongs to this process from here on; on failure it is the caller's again. */
  static begin(foundation: Foundation, options: OwnerOptions): Owner {
    const { socket, mode, problem, activated } = foundation;
    const owner = Owner.prepare(foundation, options);
    try {
      owner.activated = activated !== undefined;
      if (activated !== undefined) owner.adoptListener(activated);
      else owner.listener = native.listen(socket, { mode, backlog: 4096 }, owner.accept, owner.notAccepted);
      owner.serve({ problem });
    } catch (error) {
      owner.journal?.close();
      throw error;
    }
    return owner;
  }

  /** Does all that may fail, but for the socket. */
  private static prepare(foundation: Foundation, options: OwnerOptions, staged = false): Owner {
    const owner = new Owner(foundation, options);
    owner.keepJournal(staged);
    return owner;
  }

  private serve({ problem, handedOver = false }: { problem?: CudaIpcError; handedOver?: boolean }): void {
    this.listener?.ref();
    this.server.watchHolders();
    // Whoever awaits listen() has his listeners in place by then.
    setImmediate(() => {
      if (problem !== undefined) this.report(problem);
      if (this.closing === undefined) this.service.begin(this.socket, this.recovery, { handedOver });
      this.recovery?.start();
      // Workers of an owner before this one are at the door: they must not wait for a rehearsal.
      if (this.closing === undefined && this.recovery === undefined && !handedOver) this.rehearse();
    });
  }

  /**
   * Loads a version and publishes it as the set's current one, in one step: until then, and when the load fails or
   * is aborted, the set is what it was. Loads of one set run one after the other.
   */
  async load(name: string, source: WeightsInput, options: LoadOptions = {}): Promise<Version> {
    checkSetName(name);
    checkOptions(options, loadOptions);
    this.assertOpen();
    return this.publisher.load(name, source, options);
  }

  /**
   * Makes a version current again that is still held or pinned; the one that was current is superseded, and freed
   * unless it is held or pinned itself. Does not wait for loads: one that is under way is published when it is done.
   *
   * Errors: ERR_CUDA_IPC_NO_VERSION (freed, or never of this set), ERR_CUDA_IPC_RETIRED (withdrawn).
   */
  async rollback(name: string, version: string): Promise<Version> {
    this.assertOpen();
    if (!isId(version)) throw invalidArgument("version", "the id of a version", version);
    const before = this.catalog.current(name);
    const entry = this.catalog.reinstate(name, version);
    if (before !== entry) {
      this.server.announceVersion(entry);
      this.server.announceReinstated(entry);
    }
    return this.handle(entry);
  }

  /** The current version of a set; undefined when there is none. */
  current(name: string): Version | undefined {
    const entry = this.catalog.current(name);
    return entry && this.handle(entry);
  }

  /**
   * Whether this owner has taken over from one that died, and its workers have not all returned: reference counts are
   * a lower bound, nothing is freed, and versions may be missing that come back yet.
   */
  get recovering(): boolean {
    return this.recovery?.active ?? false;
  }

  /** Settles at the end of the recovery; at once where there is nothing to recover. */
  async whenRecovered(): Promise<Recovery> {
    if (this.recovery === undefined) return { restored: [], lost: [] };
    const { restored, lost } = await this.recovery.done;
    return {
      restored: restored.map((entry) => this.handle(entry)),
      lost: lost.map((entry) => this.handle(entry)),
    };
  }

  /** The named locks that are held, by whom, and how many wait for each. */
  locks(): LockStatus[] {
    return this.server.locks.status();
  }

  /** Every version whose memory is not freed yet. */
  versions(): Version[] {
    return this.catalog.list().map((entry) => this.handle(entry));
  }

  /** How many versions the service manager has in store, for the owner after this one. */
  get storedVersions(): number {
    return this.service.versions;
  }

  /**
   * Withdraws a set: nobody new gets it, and each of its versions is freed at its last lease (`version.whenFreed()`).
   * Throws ERR_CUDA_IPC_NO_SET when there is none of that name.
   */
  async retire(name: string): Promise<void> {
    this.assertOpen();
    const { retired, ...effects } = this.ledger.retire(name);
    this.server.announceRetired(name);
    this.catalog.apply(effects);
    await this.catalog.settled();
  }

  /** Keeps the event loop alive while listening (the default), or not. */
  ref(): this {
    this.listener?.ref();
    return this;
  }

  unref(): this {
    this.listener?.unref();
    return this;
  }

  /**
   * Stops: nobody new is let in, loads are aborted, `vmm` versions are let go (whoever holds them keeps the memory)
   * and `ipc` ones are waited for, or refused with ERR_CUDA_IPC_LEASES_HELD. Harmless when closed already.
   */
  close(options: CloseOptions = {}): Promise<void> {
    try {
      checkOptions(options, closeOptions);
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.closing !== undefined) return this.closing;
    if (this.handingOver) {
      return Promise.reject(
        new CudaIpcError(
          "ERR_CUDA_IPC_HANDOVER_RUNNING",
          "The owner is being handed over to another process; it closes by itself when that has succeeded.",
        ),
      );
    }
    if (options.ipcLeases === "refuse") {
      const held = this.leasedIpcVersions();
      if (held.length > 0) return Promise.reject(leasesHeld(held));
    }
    if (options.locks === "refuse") {
      try {
        this.server.locks.assertFree();
      } catch (error) {
        return Promise.reject(error);
      }
    }
    this.closing = this.shutDown(options).catch((error) => {
      this.closing = undefined;
      throw error;
    });
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private rehearse(): void {
    const { rehearseServing } = require("./owner-rehearsal.js") as typeof import("./owner-rehearsal.js");
    this.rehearsal = rehearseServing(this.aborted.signal).catch(() => {});
  }

  private async shutDown({ signal, restart = false }: CloseOptions): Promise<void> {
    this.service.stopping();
    this.server.refuseNew();
    this.aborted.abort(new CudaIpcError("ERR_CUDA_IPC_CLOSED", "The owner was closed while it was loading."));
    await Promise.all([this.publisher.idle(), this.recovery?.idle()]);
    await Promise.all(
      this.leasedIpcVersions().map((version) => version.waitForRefCount((count) => count === 0, signal)),
    );
    if (!restart) await this.server.locks.free(signal);
    await this.rehearsal;
    this.listener?.close();
    if (restart) await this.leave();
    else await this.letGo();
    // What is leased or kept still: its holders have the memory, this process lets go of its own descriptors.
    await Promise.all(this.catalog.list().flatMap((entry) => entry.slabs.map(closeSlab)));
    await loadersGone();
    if (!this.activated) await fs.rm(this.socket, { force: true });
    if (restart) this.journal?.close();
    else this.journal?.remove();
    this.lock.close();
  }

  /** Nothing is left for another owner. */
  private async letGo(): Promise<void> {
    this.server.close();
    for (const { set } of this.catalog.list()) {
      if (this.ledger.current(set) !== undefined) this.catalog.apply(this.ledger.retire(set));
    }
    for (const version of this.versions()) if (version.pinned) version.unpin();
    await this.catalog.settled();
    await this.service.letGo();
  }

  /** Another owner is to find everything as it is: nothing that ends from here on is written down. */
  private async leave(): Promise<void> {
    this.stopJournal?.();
    this.server.abandon("restart");
    await this.service.leave();
  }

  private leasedIpcVersions(): Version[] {
    const own = this.catalog.list().filter(({ presence }) => presence === "present");
    const versions = own.map((entry) => this.handle(entry));
    return versions.filter((version) => version.sharing === "ipc" && version.refCount > 0);
  }

  private handle(entry: CatalogEntry): Version {
    let version = this.handles.get(entry);
    if (version === undefined) {
      version = new Version(entry, this.ledger, this.catalog);
      this.handles.set(entry, version);
    }
    return version;
  }

  private readonly accept = (channel: NativeChannel) => this.server.accept(channel);
  private readonly notAccepted = (error: Error) => this.report(error);

  private adoptListener(listening: NativeFd): void {
    this.listener = native.adoptListener(listening, this.accept, this.notAccepted, this.activated);
  }

  private async prepareHandover(): Promise<void> {
    this.assertOpen();
    if (this.recovering) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_RECOVERING",
        "The owner is recovering from the death of the one before it. Hand over when it has recovered.",
      );
    }
    this.handingOver = true;
    await this.publisher.idle();
  }

  /** The successor has failed: this owner stays. */
  private goOn(listening: NativeFd | undefined): void {
    this.handingOver = false;
    if (listening === undefined) return;
    this.journal?.renew();
    this.server.thaw();
    this.adoptListener(listening);
    this.listener?.ref();
  }

  /** The successor has everything: what this process holds of it is let go, and the socket and its journal stay. */
  private finishHandover(): void {
    this.server.abandon("handover");
    this.stopJournal?.();
    this.journal?.close();
    this.lock.close();
    this.aborted.abort(
      new CudaIpcError("ERR_CUDA_IPC_HANDED_OVER", "The owner was handed over to another process."),
    );
    this.closing = Promise.all(this.catalog.list().flatMap((entry) => entry.slabs.map(closeSlab))).then(
      () => {},
    );
    this.emit("handedover");
  }

  /** Writes down, from here on, what a successor must know; `staged` while the file is another owner's. */
  private keepJournal(staged: boolean): void {
    const owner = { id: this.id, pid: process.pid, startTime: processStartTime() };
    this.journal = new Journal(journalPath(this.socket), {
      owner,
      state: () => exportState(this.parts),
      onError: (error) => this.report(error),
      staged,
    });
    this.stopJournal = this.parts.log.subscribe(this.journal.write);
  }

  /** An "error" nobody listens for must not end a process that other processes depend on. */
  private report(error: Error): void {
    if (this.listenerCount("error") > 0) this.emit("error", error);
    else process.emitWarning(error);
  }

  private assertOpen(): void {
    if (this.handingOver) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_HANDED_OVER",
        "The owner is being handed over to another process: ask that one.",
      );
    }
    if (this.closing !== undefined)
      throw new CudaIpcError("ERR_CUDA_IPC_CLOSED", "The owner has been closed.");
  }

  /** @internal */
  [inspect.custom](depth: number | null, options: InspectOptionsStylized): string {
    const { id, socket, recovering } = this;
    return summary("Owner", { id, socket, recovering, versions: this.versions() }, depth, options);
  }
}

/** Neither may be possible for a moment: an owner that has the lock does not listen yet, or one is just ending. */
async function listenOrStandBy(options: OwnerOptions): Promise<Owner | Standby<Owner>> {
  const patience = AbortSignal.timeout(10_000);
  for (let wait = 2; ; wait = Math.min(2 * wait, 100)) {
    try {
      return await Owner.listen(options);
    } catch (error) {
      if ((error as CudaIpcError).code !== "ERR_CUDA_IPC_OWNER_RUNNING" || patience.aborted) throw error;
    }
    try {
      return await Owner.standby(options);
    } catch (error) {
      const { code } = error as CudaIpcError;
      const passing = code === "ERR_CUDA_IPC_NO_OWNER" || code === "ERR_CUDA_IPC_CONNECTION_LOST";
      if (!passing || patience.aborted) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
