import { EventEmitter } from "node:events";
import { promises as fs } from "node:fs";
import { CudaIpcError, invalidArgument } from "../errors.js";
import { type Loading, loadersGone, loadWeights } from "../loading/load.js";
import type { LoadProgress } from "../loading/loaded.js";
import { closeSlab } from "../loading/owned-slab.js";
import type { Placement } from "../loading/plan.js";
import type { WeightsInput } from "../loading/source.js";
import { type NativeFileLock, type NativeListener, native, type Sharing } from "../native.js";
import type { LockStatus } from "../wire/values.js";
import type { Catalog, CatalogEntry } from "./catalog.js";
import { randomId } from "./ids.js";
import type { Ledger, LedgerLimits } from "./ledger.js";
import { recordLocks } from "./lock-record.js";
import type { LockLimits } from "./lock-table.js";
import { OwnerServer } from "./owner-server.js";
import { newOwnerParts } from "./owner-state.js";
import { SerialQueue } from "./serial-queue.js";
import { prepareSocketFolder, resolveSocket } from "./socket-path.js";
import { Version } from "./version.js";

export interface OwnerOptions {
  /** Path of the Unix socket to listen on; default: `defaultSocket()`. */
  socket?: string;
  /** "libcuda" or "host": see the README. Default: $CUDA_IPC_DRIVER, else libcuda. For the whole process. */
  driver?: "libcuda" | "host";
  /** Further users that may attach. Default: the owner's own uid alone. Widens the socket's mode to 0666. */
  allowUids?: readonly number[];
  /** The socket's mode; default 0600, or 0666 with `allowUids`. */
  mode?: number;
  limits?: Partial<LedgerLimits & LockLimits> & { connections?: number };
  /**
   * Where "vmm" memory is loaded: by a short-lived process (default), so that this one gets no CUDA context, which takes
   * some 500 MiB of device memory and could be brought down by a fault; or "inline", in this one.
   */
  loading?: Loading;
}

export interface LoadOptions {
  /** Ordinal of the device in this process, or a function that chooses one for each tensor. Default 0. */
  device?: Placement;
  /** "vmm" (the default where every device supports it) or "ipc". */
  sharing?: Sharing;
  /** Whether workers may attach with `access: "readwrite"`. Default false. */
  writable?: boolean;
  /** Kept although neither current nor leased, until `version.unpin()`. Default false. */
  pinned?: boolean;
  /** Called at most every 50 ms with bytes on the device, total bytes and bytes per second. */
  onProgress?: (progress: LoadProgress) => void;
  /** Aborts the load; nothing stays allocated and the current version stays what it is. */
  signal?: AbortSignal;
  /** Reader threads; default: what the machine repays. */
  threads?: number;
}

export interface CloseOptions {
  /** With leases on `ipc` versions, whose memory dies with this process: wait for them (default), or refuse. */
  ipcLeases?: "wait" | "refuse";
  /** With locks held, which a later owner could grant again: wait for their release (default), or refuse. */
  locks?: "wait" | "refuse";
  signal?: AbortSignal;
}

interface OwnerEvents {
  /** A version's memory is gone. */
  freed: [Version];
  /** A lease ended: by release, by its connection's end, or by its process's death. */
  leaseended: [{ lease: string; version: string; reason: string }];
  /** A peer was refused or broke the protocol; it was disconnected and the owner lives on. */
  peererror: [CudaIpcError];
  /** Memory could not be handed back, or no connection could be accepted. */
  error: [Error];
}

/**
 * The process that holds the weights and the ledger, and listens on a Unix socket. `load` publishes versions,
 * workers `attach` to them, and each version is freed when it is neither current nor pinned and its last lease
 * has ended.
 */
export class Owner extends EventEmitter<OwnerEvents> implements AsyncDisposable {
  /** Random, 32 hex characters: this owner and no other. */
  readonly id = randomId();
  private readonly ledger: Ledger;
  private readonly catalog: Catalog;
  private readonly server: OwnerServer;
  private readonly loads = new Map<string, SerialQueue>();
  private readonly handles = new Map<string, Version>();
  private readonly loading: Loading;
  private listener: NativeListener | undefined;
  private closing: Promise<void> | undefined;
  private readonly aborted = new AbortController();

  private constructor(
    /** The absolute path of the socket. */
    readonly socket: string,
    private readonly lock: NativeFileLock,
    options: OwnerOptions,
  ) {
    super();
    this.loading = options.loading ?? "process";
    const { log, ledger, catalog, locks } = newOwnerParts(options.limits);
    this.ledger = ledger;
    this.catalog = catalog;
    this.catalog.on("freed", (entry) => this.freed(entry));
    this.catalog.on("ended", ({ lease, version, reason }) =>
      this.emit("leaseended", { lease, version, reason }),
    );
    this.catalog.on("error", (error) => this.report(error));
    this.catalog.on("recovered", () => this.server.locks.recovered());
    this.server = new OwnerServer(this.id, this.ledger, this.catalog, {
      allowUids: [process.getuid?.() ?? 0, ...(options.allowUids ?? [])],
      connections: options.limits?.connections ?? 4096,
      locks,
      recordLocks: recordLocks(log),
      onPeerError: (error) => this.emit("peererror", error),
    });
  }

  /**
   * Starts to listen. One owner at a time has a socket: ERR_CUDA_IPC_OWNER_RUNNING when another process (or this
   * one) has it. A socket file left by an owner that died is replaced.
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
      // The lock says that nobody listens, so what is left there is a dead owner's.
      await fs.rm(socket, { force: true });
      const owner = new Owner(socket, lock, options);
      owner.listener = native.listen(
        socket,
        { mode, backlog: 4096 },
        (channel) => owner.server.accept(channel),
        (error) => owner.report(error),
      );
      owner.listener.ref();
      return owner;
    } catch (error) {
      lock.close();
      throw error;
    }
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
      const { entry, superseded } = this.catalog.publish(facts, loaded.sharing, loaded);
      if (superseded !== undefined) this.server.announceVersion(entry);
      return this.handle(entry);
    });
  }

  /** The current version of a set; undefined when there is none. */
  current(name: string): Version | undefined {
    const entry = this.catalog.current(name);
    return entry && this.handle(entry);
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
    this.lock.close();
  }

  private leasedIpcVersions(): Version[] {
    return this.versions().filter((version) => version.sharing === "ipc" && version.refCount > 0);
  }

  private handle(entry: CatalogEntry): Version {
    let version = this.handles.get(entry.id);
    if (version === undefined) {
      version = new Version(entry, this.ledger, this.catalog);
      this.handles.set(entry.id, version);
    }
    return version;
  }

  private freed(entry: CatalogEntry): void {
    const version = this.handle(entry);
    this.handles.delete(entry.id);
    this.emit("freed", version);
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
