import { EventEmitter } from "node:events";
import { type InspectOptionsStylized, inspect } from "node:util";
import { checkBoolean } from "../cuda/check.js";
import { CudaIpcError, invalidArgument } from "../errors.js";
import type { WeightsInput } from "../loading/source.js";
import type { LockStatus } from "../wire/values.js";
import type { Catalog } from "./catalog.js";
import type { Foundation } from "./foundation.js";
import { isId, randomId } from "./ids.js";
import type { Ledger } from "./ledger.js";
import { listenOrStandBy } from "./listen-or-stand-by.js";
import { recordLocks } from "./lock-record.js";
import { beginAlone, beginHandedOver, beginWhenDead } from "./owner-beginnings.js";
import { OwnerEnding } from "./owner-ending.js";
import { OwnerHandover } from "./owner-handover.js";
import { OwnerJournal } from "./owner-journal.js";
import {
  type CloseOptions,
  checkCloseOptions,
  checkLoadOptions,
  checkOwnerOptions,
  type LoadOptions,
  type OwnerEvents,
  type OwnerOptions,
  type Recovery,
} from "./owner-options.js";
import { OwnerServer } from "./owner-server.js";
import { OwnerSocket } from "./owner-socket.js";
import { defaultRecoveryDeadline } from "./predecessor.js";
import { Publisher } from "./publisher.js";
import { Recovery as VersionRecovery } from "./recovery.js";
import { OwnerService } from "./service-manager/owner-service.js";
import { checkSetName } from "./set-name.js";
import type { Standby } from "./standby.js";
import { SuccessionServer } from "./succession-server.js";
import { summary } from "./summary.js";
import type { Version } from "./version.js";
import { VersionViews } from "./version-views.js";

export type { CloseOptions, LoadOptions, OwnerOptions, Recovery } from "./owner-options.js";

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
  private readonly ledger: Ledger;
  private readonly catalog: Catalog;
  private readonly versionViews: VersionViews;
  private readonly place: OwnerSocket;
  private readonly journal: OwnerJournal;
  private readonly server: OwnerServer;
  private readonly recovery: VersionRecovery | undefined;
  private readonly service: OwnerService;
  private readonly publisher: Publisher;
  private readonly handover: OwnerHandover;
  private readonly ending: OwnerEnding;
  private rehearsal: Promise<void> | undefined;
  private closing: Promise<void> | undefined;
  private readonly aborted = new AbortController();

  /** Does all that may fail, but for the socket. `staged`: the journal is another owner's still. */
  private constructor(
    { socket, lock, driver, parts, recover, manager }: Foundation,
    options: OwnerOptions,
    staged = false,
  ) {
    super();
    this.socket = socket;
    this.id = randomId();
    this.ledger = parts.ledger;
    this.catalog = parts.catalog;
    this.versionViews = new VersionViews(parts.ledger, parts.catalog);
    const onError = (error: Error) => this.report(error);
    const onRefused = (error: CudaIpcError) => this.tell("refusedoffer", error);
    this.tellEvents();
    this.place = new OwnerSocket(socket, lock, {
      onConnection: (channel) => this.server.accept(channel),
      onError,
      shelf: () => this.server.shelf.native,
    });
    this.journal = new OwnerJournal(parts, { id: this.id, socket, onError, staged });
    if (recover) {
      const { signal } = this.aborted;
      this.recovery = new VersionRecovery(parts, { onRefused, onDelayed: onError, signal });
      this.whenRecovered().then(
        (recovery) => this.tell("recovered", recovery),
        () => {},
      );
    }
    this.service = new OwnerService(manager, parts, {
      onError,
      onRefused,
      strangersMs: options.recoveryDeadline ?? defaultRecoveryDeadline,
    });
    this.publisher = new Publisher({
      catalog: this.catalog,
      recovery: this.recovery,
      loading: options.loading ?? "process",
      signal: this.aborted.signal,
      handle: this.versionViews.of,
      announce: (entry) => this.server.announceVersion(entry),
    });
    const { place, journal, recovery, service, publisher, versionViews: versions, aborted } = this;
    this.handover = new OwnerHandover({
      ...{ parts, place, journal, recovery, service, publisher },
      server: () => this.server,
      timeout: options.handoverTimeout,
      assertOpen: () => this.assertOpen(),
      finish: () => {
        this.closing = this.ending.handedOver();
        this.tell("handedover");
      },
    });
    this.server = new OwnerServer(this.id, this.ledger, this.catalog, {
      allowUids: [process.getuid?.() ?? 0, ...(options.allowUids ?? [])],
      connections: options.limits?.connections ?? 4096,
      recovery: this.recovery,
      succession: new SuccessionServer(this.handover),
      locks: parts.locks,
      recordLocks: recordLocks(parts.log),
      onPeerError: (error) => this.tell("peererror", error),
    });
    const { server } = this;
    this.ending = new OwnerEnding({
      ...{ parts, place, journal, driver, server, publisher, service, recovery, versions, aborted },
    });
  }

  /**
   * Starts to listen. One owner at a time has a socket: ERR_CUDA_IPC_OWNER_RUNNING when another process (or this
   * one) has it. A socket file left by an owner that died is replaced, and what that owner held is recovered from
   * its workers as they reconnect: see `recovering`.
   */
  static listen(options?: OwnerOptions & { orStandby?: false }): Promise<Owner>;
  /** Of several processes that start alike, one becomes the owner and the others its standbys. */
  static listen(options: OwnerOptions & { orStandby?: boolean }): Promise<Owner | Standby<Owner>>;
  static async listen(options: OwnerOptions & { orStandby?: boolean } = {}): Promise<Owner | Standby<Owner>> {
    checkOwnerOptions(options, ["orStandby"]);
    const { orStandby = false, ...rest } = options;
    checkBoolean("orStandby", orStandby);
    if (orStandby) {
      return listenOrStandBy({ listen: () => Owner.listen(rest), standBy: () => Owner.standby(rest) });
    }
    return beginAlone(rest, Owner.begin);
  }

  /**
   * Mirrors the owner that listens on the socket: descriptors of its memory, manifests and leases, without a CUDA
   * context. When the owner dies, this process takes over (`standby.owner`). ERR_CUDA_IPC_NO_OWNER when there is none.
   */
  static async standby(options: OwnerOptions = {}): Promise<Standby<Owner>> {
    return beginWhenDead(options, Owner.begin);
  }

  /**
   * Takes everything over from the owner that runs on the socket (an upgrade of the program, not of the weights): no
   * lease ends, nobody who connects is refused, and the old owner lets go and emits `handedover`. Rejects, and the old
   * owner goes on, with ERR_CUDA_IPC_HANDOVER_IPC while an `ipc` version lives, ERR_CUDA_IPC_RECOVERING,
   * ERR_CUDA_IPC_NO_OWNER, and ERR_CUDA_IPC_HANDOVER_TIMEOUT where this process was stopped for long.
   */
  static async takeOver(options: OwnerOptions & { signal?: AbortSignal } = {}): Promise<Owner> {
    return beginHandedOver(options, (foundation, checked) => {
      const owner = new Owner(foundation, checked, true);
      return {
        discard: () => owner.journal.discard(),
        begin(listener) {
          owner.journal.install();
          owner.place.adopt(listener);
          owner.serve({ handedOver: true });
          return owner;
        },
      };
    });
  }

  /** Listens on what belongs to this process from here on; on failure it is the caller's again. */
  private static begin(this: void, foundation: Foundation, options: OwnerOptions): Owner {
    const { mode, problem, activated } = foundation;
    const owner = new Owner(foundation, options);
    try {
      if (activated === undefined) owner.place.listen(mode);
      else owner.place.activate(activated);
      owner.serve({ problem });
    } catch (error) {
      owner.journal.close();
      throw error;
    }
    return owner;
  }

  private serve({ problem, handedOver = false }: { problem?: CudaIpcError; handedOver?: boolean }): void {
    this.place.ref();
    this.server.watchHolders();
    this.server.shelf.fill();
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
    checkLoadOptions(options);
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
    return this.versionViews.of(entry);
  }

  /** The current version of a set; undefined when there is none. */
  current(name: string): Version | undefined {
    const entry = this.catalog.current(name);
    return entry && this.versionViews.of(entry);
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
      restored: restored.map(this.versionViews.of),
      lost: lost.map(this.versionViews.of),
    };
  }

  /** The named locks that are held, by whom, and how many wait for each. */
  locks(): LockStatus[] {
    return this.server.locks.status();
  }

  /** Every version whose memory is not freed yet. */
  versions(): Version[] {
    return this.versionViews.all();
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
    this.place.ref();
    return this;
  }

  unref(): this {
    this.place.unref();
    return this;
  }

  /**
   * Stops: nobody new is let in, loads are aborted, `vmm` versions are let go (whoever holds them keeps the memory)
   * and `ipc` ones are waited for, or refused with ERR_CUDA_IPC_LEASES_HELD. Harmless when closed already.
   */
  close(options: CloseOptions = {}): Promise<void> {
    try {
      checkCloseOptions(options);
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.closing !== undefined) return this.closing;
    if (this.handover.running) {
      return Promise.reject(
        new CudaIpcError(
          "ERR_CUDA_IPC_HANDOVER_RUNNING",
          "The owner is being handed over to another process; it closes by itself when that has succeeded.",
        ),
      );
    }
    try {
      this.ending.assertWanted(options);
    } catch (error) {
      return Promise.reject(error);
    }
    this.closing = this.ending.close(options, this.rehearsal).catch((error) => {
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

  private tellEvents(): void {
    const { catalog, versionViews: views } = this;
    catalog.on("freed", (entry) => this.tell("freed", views.of(entry)));
    catalog.on("lost", (entry) => this.tell("lost", views.of(entry)));
    catalog.on("supplied", (entry) => this.tell("restored", views.of(entry)));
    catalog.on("ended", ({ lease, version, reason }) => this.tell("leaseended", { lease, version, reason }));
    catalog.on("error", (error) => this.report(error));
    catalog.on("recovered", () => this.server.locks.recovered());
  }

  /** On a turn of its own: what a listener throws must not leave undone what the owner is doing. */
  private tell<E extends Exclude<keyof OwnerEvents, "error">>(event: E, ...about: OwnerEvents[E]): void {
    queueMicrotask(() => this.emit(event, ...(about as never)));
  }

  /** An "error" nobody listens for must not end a process that other processes depend on. */
  private report(error: Error): void {
    queueMicrotask(() => {
      if (this.listenerCount("error") > 0) this.emit("error", error);
      else process.emitWarning(error);
    });
  }

  private assertOpen(): void {
    if (this.handover.running) {
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
