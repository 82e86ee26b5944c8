import { EventEmitter } from "node:events";
import { promises as fs } from "node:fs";
import { CudaIpcError, invalidArgument } from "../errors.js";
import { type Loading, loadersGone, loadWeights } from "../loading/load.js";
import { closeSlab } from "../loading/owned-slab.js";
import type { WeightsInput } from "../loading/source.js";
import { type NativeFileLock, type NativeListener, native } from "../native.js";
import type { LockStatus } from "../wire/values.js";
import type { Catalog, CatalogEntry } from "./catalog.js";
import { randomId } from "./ids.js";
import { Journal } from "./journal.js";
import type { Ledger } from "./ledger.js";
import { recordLocks } from "./lock-record.js";
import type { CloseOptions, LoadOptions, OwnerEvents, OwnerOptions, Recovery } from "./owner-options.js";
import { OwnerServer } from "./owner-server.js";
import { exportState, type OwnerParts } from "./owner-state.js";
import { type Predecessor, readPredecessor } from "./predecessor.js";
import { Recovery as VersionRecovery } from "./recovery.js";
import { SerialQueue } from "./serial-queue.js";
import { journalPath, prepareSocketFolder, removeStaleSocket, resolveSocket } from "./socket-path.js";
import { processStartTime } from "./start-time.js";
import { Version } from "./version.js";

export type { CloseOptions, LoadOptions, OwnerOptions, Recovery } from "./owner-options.js";

/** What an owner is built on. */
export interface Foundation extends Predecessor {
  socket: string;
  mode: number;
  /** Held: nobody else listens there. */
  lock: NativeFileLock;
}

/**
 * The process that holds the weights and the ledger, and listens on a Unix socket. `load` publishes versions,
 * workers `attach` to them, and each version is freed when it is neither current nor pinned and its last lease
 * has ended.
 */
export class Owner extends EventEmitter<OwnerEvents> implements AsyncDisposable {
  /** Random, 32 hex characters: this owner and no other. */
  readonly id: string;
  private readonly ledger: Ledger;
  private readonly catalog: Catalog;
  private readonly server: OwnerServer;
  private readonly loads = new Map<string, SerialQueue>();
  private readonly handles = new WeakMap<CatalogEntry, Version>();
  private readonly recovery: VersionRecovery | undefined;
  private journal: Journal | undefined;
  private readonly loading: Loading;
  private listener: NativeListener | undefined;
  private closing: Promise<void> | undefined;
  private readonly aborted = new AbortController();

  private constructor(
    /** The absolute path of the socket. */
    readonly socket: string,
    private readonly lock: NativeFileLock,
    private readonly parts: OwnerParts,
    recover: boolean,
    options: OwnerOptions,
  ) {
    super();
    this.loading = options.loading ?? "process";
    this.id = randomId();
    this.ledger = parts.ledger;
    this.catalog = parts.catalog;
    this.catalog.on("freed", (entry) => this.emit("freed", this.handle(entry)));
    this.catalog.on("lost", (entry) => this.emit("lost", this.handle(entry)));
    this.catalog.on("ended", ({ lease, version, reason }) =>
      this.emit("leaseended", { lease, version, reason }),
    );
    this.catalog.on("error", (error) => this.report(error));
    this.catalog.on("recovered", () => this.server.locks.recovered());
    if (recover) {
      this.recovery = new VersionRecovery(parts, {
        onRefused: (error) => this.emit("refusedoffer", error),
        signal: this.aborted.signal,
      });
      this.whenRecovered().then(
        (recovery) => this.emit("recovered", recovery),
        () => {},
      );
    }
    this.server = new OwnerServer(this.id, this.ledger, this.catalog, {
      allowUids: [process.getuid?.() ?? 0, ...(options.allowUids ?? [])],
      connections: options.limits?.connections ?? 4096,
      recovery: this.recovery,
      locks: parts.locks,
      recordLocks: recordLocks(parts.log),
      onPeerError: (error) => this.emit("peererror", error),
    });
  }

  /**
   * Starts to listen. One owner at a time has a socket: ERR_CUDA_IPC_OWNER_RUNNING when another process (or this
   * one) has it. A socket file left by an owner that died is replaced, and what that owner held is recovered from
   * its workers as they reconnect: see `recovering`.
   */
  static async listen(options: OwnerOptions = {}): Promise<Owner> {
    const socket = resolveSocket(options.socket);
    if (options.driver !== undefined) native.chooseProvider(options.driver);
    const mode = options.mode ?? (options.allowUids?.length ? 0o666 : 0o600);
    if (!Number.isInteger(mode) || mode < 0 || mode > 0o777) {
      throw invalidArgument("mode", "the permission bits of a file", mode);
    }
    const { loading = "process" } = options;
    if (loading !== "process" && loading !== "inline") {
      throw invalidArgument("loading", '"process" or "inline"', loading);
    }
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
      // The lock says that nobody listens, so what is left there is a dead owner's.
      await removeStaleSocket(socket);
      return Owner.begin({ socket, mode, lock, ...left }, options);
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  /** @internal Listens on what belongs to this process from here on; on failure it is the caller's again. */
  static begin({ socket, mode, lock, parts, recover, problem }: Foundation, options: OwnerOptions): Owner {
    const owner = new Owner(socket, lock, parts, recover, options);
    try {
      owner.keepJournal();
      owner.listener = native.listen(
        socket,
        { mode, backlog: 4096 },
        (channel) => owner.server.accept(channel),
        (error) => owner.report(error),
      );
    } catch (error) {
      owner.journal?.close();
      throw error;
    }
    owner.listener.ref();
    owner.server.watchHolders();
    // Whoever awaits listen() has his listeners in place by then.
    setImmediate(() => {
      if (problem !== undefined) owner.report(problem);
      owner.recovery?.start();
    });
    return owner;
  }

  /**
   * Loads a version and publishes it as the set's current one, in one step: until then, and when the load fails or
   * is aborted, the set is what it was. Loads of one set run one after the other.
   */
  async load(name: string, source: WeightsInput, options: LoadOptions = {}): Promise<Version> {
    if (typeof name !== "string" || name === "" || name.length > 255) {
      throw invalidArgument("name", "a name of 1 to 255 characters", name);
    }
    this.assertOpen();
    const signal = AbortSignal.any([this.aborted.signal, ...(options.signal ? [options.signal] : [])]);
    let queue = this.loads.get(name);
    if (queue === undefined) {
      queue = new SerialQueue();
      this.loads.set(name, queue);
    }
    return queue.run(async () => {
      signal.throwIfAborted();
      const loaded = await loadWeights(source, { ...options, loading: this.loading, signal });
      if (signal.aborted) {
        await Promise.all(loaded.slabs.map(closeSlab));
        throw signal.reason;
      }
      const { writable = false, pinned = false } = options;
      const facts = { id: randomId(), set: name, writable, pinned, source: loaded.source };
      const { entry } = this.catalog.publish(facts, loaded.sharing, loaded);
      this.server.announceVersion(entry);
      return this.handle(entry);
    });
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
    if (this.closing !== undefined) return this.closing;
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

  private async shutDown({ signal }: CloseOptions): Promise<void> {
    this.server.refuseNew();
    this.aborted.abort(new CudaIpcError("ERR_CUDA_IPC_CLOSED", "The owner was closed while it was loading."));
    await Promise.all([...this.loads.values()].map((queue) => queue.idle()));
    await Promise.all(
      this.leasedIpcVersions().map((version) => version.waitForRefCount((count) => count === 0, signal)),
    );
    await this.server.locks.free(signal);
    this.listener?.close();
    this.server.close();
    for (const { set } of this.catalog.list()) {
      if (this.ledger.current(set) !== undefined) this.catalog.apply(this.ledger.retire(set));
    }
    for (const version of this.versions()) if (version.pinned) version.unpin();
    await this.catalog.settled();
    // What is leased or kept still: its holders have the memory, this process lets go of its own descriptors.
    await Promise.all(this.catalog.list().flatMap((entry) => entry.slabs.map(closeSlab)));
    await loadersGone();
    await fs.rm(this.socket, { force: true });
    this.journal?.remove();
    this.lock.close();
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

  /** Writes down, from here on, what a successor must know. */
  private keepJournal(): void {
    const owner = { id: this.id, pid: process.pid, startTime: processStartTime() };
    this.journal = new Journal(journalPath(this.socket), {
      owner,
      state: () => exportState(this.parts),
      onError: (error) => this.report(error),
    });
    this.parts.log.subscribe(this.journal.write);
  }

  /** An "error" nobody listens for must not end a process that other processes depend on. */
  private report(error: Error): void {
    if (this.listenerCount("error") > 0) this.emit("error", error);
    else process.emitWarning(error);
  }

  private assertOpen(): void {
    if (this.closing !== undefined)
      throw new CudaIpcError("ERR_CUDA_IPC_CLOSED", "The owner has been closed.");
  }
}

function leasesHeld(versions: readonly Version[]): CudaIpcError {
  const named = versions.map((version) => `${version.set} (version ${version.number}): ${version.refCount}`);
  return new CudaIpcError(
    "ERR_CUDA_IPC_LEASES_HELD",
    `Leases are out on "ipc" versions, whose memory dies with this process: ${named.join(", ")}. Release them first, or close without { ipcLeases: "refuse" } to wait.`,
    { details: { leases: versions.reduce((sum, version) => sum + version.refCount, 0) } },
  );
}
