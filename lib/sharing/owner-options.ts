import { checkBoolean, checkInteger } from "../cuda/check.js";
import { type CudaIpcError, checkOptions, checkSignal, invalidArgument, optionNames } from "../errors.js";
import type { Loading } from "../loading/load.js";
import type { LoadProgress } from "../loading/loaded.js";
import type { Placement } from "../loading/plan.js";
import type { ReadingOptions } from "../loading/reading.js";
import type { Sharing } from "../native.js";
import type { LedgerLimits } from "./ledger.js";
import type { LockLimits } from "./lock-types.js";
import type { ServiceManagerOption } from "./service-manager/service-manager.js";
import { longestMs } from "./timeouts.js";
import type { Version } from "./version.js";

export interface OwnerOptions {
  /** Path of the Unix socket to listen on; default: `defaultSocket()`. */
  socket?: string;
  /** "libcuda" or "host": see the README. Default: $CUDA_IPC_DRIVER, else libcuda. For the whole process. */
  driver?: "libcuda" | "host";
  /** Further users that may attach. Default: the owner's own uid alone. Widens the socket's mode to 0666. */
  allowUids?: readonly number[];
  /** The socket's mode; default 0600, or 0666 with `allowUids`. */
  mode?: number;
  /** Leases, locks and connections at most; defaults as in docs/protocol.md, and 4096 connections. */
  limits?: Partial<LedgerLimits & LockLimits> & { connections?: number };
  /**
   * Where "vmm" memory is loaded: by a short-lived process (default), so that this one gets no CUDA context, which takes
   * some 500 MiB of device memory and could be brought down by a fault; or "inline", in this one.
   */
  loading?: Loading;
  /**
   * How long, after the death of the owner before, leases and locks are awaited of processes whose own death cannot be proven;
   * milliseconds, default 60,000. All others are awaited until they return or die.
   */
  recoveryDeadline?: number;
  /**
   * How long a successor (`Owner.takeOver`) may take, from when it is sent everything until it listens; milliseconds,
   * default 30,000. Nobody is heard meanwhile. One that takes longer is disconnected, and this owner goes on.
   */
  handoverTimeout?: number;
  /**
   * Whether "vmm" memory is stored with the service manager (systemd) that has started this process, and found again
   * there after a restart; it also hears when the owner listens and when it stops. Default "auto": where the manager
   * says that this process is a service with a store (NOTIFY_SOCKET and FDSTORE, which systemd sets from version 254
   * on). A socket that it has bound to the owner's path is taken over then, too.
   */
  serviceManager?: ServiceManagerOption;
}

const ownerOptions = optionNames<OwnerOptions>({
  socket: true,
  driver: true,
  allowUids: true,
  mode: true,
  limits: true,
  loading: true,
  recoveryDeadline: true,
  handoverTimeout: true,
  serviceManager: true,
});
const limitNames = optionNames<LedgerLimits & LockLimits & { connections: number }>({
  leases: true,
  leasesPerProcess: true,
  unprovenGraceMs: true,
  locks: true,
  locksPerProcess: true,
  connections: true,
});

/** Refuses unknown names, and wrong limits; `further` are the names of one way to become an owner. */
export function checkOwnerOptions(
  options: OwnerOptions & { signal?: AbortSignal },
  further: readonly string[] = [],
): void {
  checkOptions(options, [...ownerOptions, ...further]);
  checkSignal(options.signal);
  if (options.limits !== undefined) checkLimits(options.limits);
}

function checkLimits(limits: NonNullable<OwnerOptions["limits"]>): void {
  checkOptions(limits, limitNames, "limits");
  for (const [name, value] of Object.entries(limits)) {
    if (value === undefined) continue;
    const most = name === "unprovenGraceMs" ? longestMs : Number.MAX_SAFE_INTEGER;
    checkInteger(`limits.${name}`, value, 0, most);
  }
}

export interface LoadOptions extends ReadingOptions {
  /** Ordinal of the device in this process, or a function that chooses one for each tensor. Default 0. */
  device?: Placement;
  /** "vmm" (the default where every device supports it) or "ipc". */
  sharing?: Sharing;
  /** Whether workers may attach with `access: "readwrite"`. Default false. */
  writable?: boolean;
  /** Kept although neither current nor leased, until `version.unpin()`. Default false. */
  pinned?: boolean;
  /**
   * Keeps the current version, and returns it, when it was loaded from these files, unchanged or gone, to the same device, with
   * the same `sharing` and `writable`: no data is read. One whose memory is awaited from the workers of an owner that died is
   * waited for. Of a writable version the memory may have been changed since, and is kept as well. Weights from memory, or with
   * a function for `device`, are always loaded. Default false.
   */
  ifChanged?: boolean;
  /**
   * Called at most every 50 ms with bytes on the device, total bytes and bytes per second. What it throws fails the load as an
   * abort does, and is what the load rejects with.
   */
  onProgress?: (progress: LoadProgress) => void;
  /** Aborts the load; nothing stays allocated and the current version stays what it is. */
  signal?: AbortSignal;
}

const loadOptions = optionNames<LoadOptions>({
  device: true,
  sharing: true,
  writable: true,
  pinned: true,
  ifChanged: true,
  onProgress: true,
  signal: true,
  threads: true,
  io: true,
  verify: true,
});

/** What is written down of a version, or decides what becomes of it; how it is read is checked by the loader. */
export function checkLoadOptions(options: LoadOptions): void {
  checkOptions(options, loadOptions);
  for (const name of ["writable", "pinned", "ifChanged"] as const) {
    if (options[name] !== undefined) checkBoolean(name, options[name]);
  }
  const { onProgress, signal } = options;
  if (onProgress !== undefined && typeof onProgress !== "function")
    throw invalidArgument("onProgress", "a function", onProgress);
  checkSignal(signal);
}

export interface CloseOptions {
  /** With leases on `ipc` versions, whose memory dies with this process: wait for them (default), or refuse. */
  ipcLeases?: "wait" | "refuse";
  /** With locks held, which a later owner could grant again: wait for their release (default), or refuse. */
  locks?: "wait" | "refuse";
  /**
   * Whether another owner on this socket follows at once. It finds what it would find if this one had been killed: what
   * the service manager has in store, what workers hold, leases and locks. Default false: it starts with nothing.
   */
  restart?: boolean;
  signal?: AbortSignal;
}

const closeOptions = optionNames<CloseOptions>({
  ipcLeases: true,
  locks: true,
  restart: true,
  signal: true,
});

export function checkCloseOptions(options: CloseOptions): void {
  checkOptions(options, closeOptions);
  for (const name of ["ipcLeases", "locks"] as const) {
    const value = options[name];
    if (value !== undefined && value !== "wait" && value !== "refuse")
      throw invalidArgument(name, '"wait" or "refuse"', value);
  }
  if (options.restart !== undefined) checkBoolean("restart", options.restart);
  checkSignal(options.signal);
}

/** What came of the versions of an owner that died. */
export interface Recovery {
  /** Whole again: a worker, a standby or the service manager gave the memory back. */
  restored: Version[];
  /** Gone, or no longer to be had (`ipc`). */
  lost: Version[];
}

export interface OwnerEvents {
  /** A version's memory is gone. */
  freed: [Version];
  /** A lease ended: by release, by its connection's end, or by its process's death. */
  leaseended: [{ lease: string; version: string; reason: string }];
  /**
   * A version is gone with the owner before this one: nobody could give its memory back. Or it was shared as `ipc`:
   * whoever has it mapped keeps it, and nobody new can have it. Load it anew.
   */
  lost: [Version];
  /** A version of the owner before this one is whole again: somebody gave its memory back. */
  restored: [Version];
  /** The owner before this one is made up for: reference counts are exact again. */
  recovered: [Recovery];
  /** Memory that was offered for a version was not what the recovery journal names. */
  refusedoffer: [CudaIpcError];
  /** Everything was handed over to another process (`Owner.takeOver`): this owner is closed. */
  handedover: [];
  /** A peer was refused or broke the protocol; it was disconnected and the owner lives on. */
  peererror: [CudaIpcError];
  /** Memory could not be handed back or not be stored, or no connection could be accepted. The owner lives on. */
  error: [Error];
}
