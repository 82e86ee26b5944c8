import { readFileSync } from "node:fs";
import { CudaIpcError, invalidArgument } from "../../errors.js";
import type { NativeFd } from "../../native.js";
import { NotifyLine } from "./line.js";
import { digest, StoreNames } from "./names.js";
import { PassedFds } from "./passed.js";

/** `"auto"`: where the environment says that this process is a service which may store descriptors. */
export type ServiceManagerOption = boolean | "auto";

/** Every keeper of memory that is a service manager is called so. */
export const managerPrefix = "service-manager ";

/** Room in the store of this process's service, for all owners in it. */
export interface StoreRoom {
  readonly capacity: number;
  used: number;
}

let room: StoreRoom | undefined;

/** The service manager (systemd, or who speaks its protocol) that has started this process, as one socket's owner sees it. */
export class ServiceManager {
  readonly names: StoreNames;

  private constructor(
    private readonly socket: string,
    private readonly passed: PassedFds,
    /** Undefined: it has passed a socket that listens, and is told nothing. */
    readonly line: NotifyLine | undefined,
    /** As the ledger knows it, the same after a restart. */
    readonly keeper: string,
    /** Why it cannot be told anything, where it should be. */
    readonly problem: CudaIpcError | undefined,
  ) {
    this.names = new StoreNames(socket);
    room ??= { capacity: capacity(), used: passed.inStore };
  }

  /** Undefined when there is none, or it is not asked for. Throws ERR_CUDA_IPC_SERVICE_MANAGER. */
  static find(option: ServiceManagerOption = "auto", socket: string): ServiceManager | undefined {
    if (option !== "auto" && typeof option !== "boolean") {
      throw invalidArgument("serviceManager", 'true, false or "auto"', option);
    }
    if (option === false) return undefined;
    const { NOTIFY_SOCKET: address = "" } = process.env;
    const wanted = option === true || isService();
    const problem = wanted ? obstacle(address) : undefined;
    if (option === true && problem !== undefined) throw problem;
    const told = wanted && problem === undefined;
    if (!wanted && !(isMainThread() && PassedFds.includesListener(socket))) return undefined;
    const line = told ? new NotifyLine(address) : undefined;
    const keeper = `${managerPrefix}${digest(`${address}\n${cgroup()}`)}`;
    return new ServiceManager(socket, PassedFds.take(), line, keeper, problem);
  }

  get room(): StoreRoom {
    return room!;
  }

  /** A socket that it has bound to the owner's path, listening. It stays this object's. */
  get listener(): NativeFd | undefined {
    return this.passed.listener(this.socket);
  }

  /** What came back from its store for this socket, by name. It stays this object's. */
  get stored(): Map<string, readonly NativeFd[]> {
    return this.passed.stored((name) => this.names.includes(name));
  }

  /** Hands it on. */
  takeStored(): Map<string, NativeFd[]> {
    return this.passed.takeStored((name) => this.names.includes(name));
  }

  /** The same of all that nobody of this process has taken, for whichever socket it was stored. */
  takeUnclaimed(): Map<string, NativeFd[]> {
    return this.passed.takeStored(() => true);
  }
}

/** Node's module of that is loaded here: an importer that listens nowhere has no use for it. */
function isMainThread(): boolean {
  const threads = require("node:worker_threads") as typeof import("node:worker_threads");
  return threads.isMainThread;
}

/** Whether this process, and not one that started it, may store descriptors. */
function isService(): boolean {
  const { NOTIFY_SOCKET, FDSTORE, SYSTEMD_EXEC_PID = String(process.pid) } = process.env;
  return isMainThread() && !!NOTIFY_SOCKET && Number(FDSTORE) > 0 && SYSTEMD_EXEC_PID === String(process.pid);
}

function obstacle(address: string): CudaIpcError | undefined {
  const why =
    (!isMainThread() &&
      "the owner is in a worker thread, and what a service manager passes is the main thread's") ||
    (address === "" &&
      "NOTIFY_SOCKET is not set: no service manager has started this process as Type=notify") ||
    (!/^[/@]/.test(address) && `NOTIFY_SOCKET is ${address}, and only Unix sockets are supported`);
  if (!why) return undefined;
  return new CudaIpcError(
    "ERR_CUDA_IPC_SERVICE_MANAGER",
    `Nothing can be stored with a service manager: ${why}. Run the owner as such a service's main process, or with { serviceManager: false }.`,
    { details: { address } },
  );
}

/** systemd tells since version 254; before, what it does not take it drops without a word. */
function capacity(): number {
  const { FDSTORE } = process.env;
  return FDSTORE === undefined ? Number.POSITIVE_INFINITY : Number(FDSTORE) || 0;
}

/** Which of a manager's services this is. */
function cgroup(): string {
  try {
    return readFileSync("/proc/self/cgroup", "utf8");
  } catch {
    return "";
  }
}
