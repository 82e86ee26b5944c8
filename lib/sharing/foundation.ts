import { type CudaIpcError, invalidArgument } from "../errors.js";
import { type NativeFd, type NativeFileLock, type NativeProviderPin, native } from "../native.js";
import { checkOwnerOptions, type OwnerOptions } from "./owner-options.js";
import { adoptState } from "./owner-state.js";
import { defaultRecoveryDeadline, type Predecessor } from "./predecessor.js";
import type { ReceivedMemory } from "./received-memory.js";
import { ServiceManager } from "./service-manager/service-manager.js";
import { resolveSocket } from "./socket-path.js";
import type { StoredState } from "./stored-state.js";
import { checkTimeout } from "./timeouts.js";

/** What an owner is built on. */
export interface Foundation extends Predecessor {
  socket: string;
  mode: number;
  /** Held: nobody else listens there. */
  lock: NativeFileLock;
  manager?: ServiceManager;
  /** An owner's own: it serves this driver's memory. */
  driver: NativeProviderPin;
  /** The manager's socket, which listens there already. The descriptor stays the caller's. */
  activated?: NativeFd;
}

/** The one above it is none: it stands for "nobody was named". */
const highestUid = 2 ** 32 - 2;

const isUid = (uid: unknown) =>
  Number.isInteger(uid) && (uid as number) >= 0 && (uid as number) <= highestUid;

/** What the options choose. */
export interface Chosen {
  socket: string;
  mode: number;
  manager?: ServiceManager;
  /** Of the driver that was chosen: to be closed by whoever ends first, or has failed, and kept by whoever has not. */
  driver: NativeProviderPin;
}

/** The options, checked; finds the service manager, and chooses the driver when nothing is wrong. */
export function chosen(options: OwnerOptions, further?: readonly string[]): Chosen {
  checkOwnerOptions(options, further);
  const socket = resolveSocket(options.socket);
  const { allowUids = [] } = options;
  if (!Array.isArray(allowUids) || !allowUids.every(isUid)) {
    throw invalidArgument("allowUids", `an array of user ids (integers from 0 to ${highestUid})`, allowUids);
  }
  const mode = options.mode ?? (allowUids.length ? 0o666 : 0o600);
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o777) {
    throw invalidArgument("mode", "the permission bits of a file", mode);
  }
  const { loading = "process" } = options;
  if (loading !== "process" && loading !== "inline") {
    throw invalidArgument("loading", '"process" or "inline"', loading);
  }
  const { recoveryDeadline, handoverTimeout } = options;
  // 0 waits for none of them.
  if (recoveryDeadline !== undefined && recoveryDeadline !== 0) {
    checkTimeout(recoveryDeadline, { name: "recoveryDeadline", without: "wait 60,000" });
  }
  if (handoverTimeout !== undefined) {
    checkTimeout(handoverTimeout, { name: "handoverTimeout", without: "allow 30,000" });
  }
  const manager = ServiceManager.find(options.serviceManager, socket);
  return { socket, mode, manager, driver: native.pinProvider(options.driver) };
}

/** A socket at the path that the service manager has passed, if who connects there gets to it. */
export async function activatedListener(
  manager: ServiceManager | undefined,
  socket: string,
): Promise<NativeFd | undefined> {
  if (manager?.listener === undefined) return undefined;
  try {
    // An owner that was no service of this manager's may have put its own in that place.
    (await native.connect(socket)).close();
    return manager.listener;
  } catch (error) {
    if ((error as CudaIpcError).code !== "ERR_CUDA_IPC_NO_OWNER") throw error;
    return undefined;
  }
}

/**
 * What a living owner has given, as the start of its successor, and the versions whose memory that is built on. Until
 * the successor listens the memory stays where it is: what failed can be tried again.
 */
export function inherit(state: StoredState, memory: ReceivedMemory, options: OwnerOptions) {
  const { limits, recoveryDeadline = defaultRecoveryDeadline } = options;
  const taken = new Set<string>();
  const parts = adoptState(state, {
    limits,
    awaitUntil: Date.now() + recoveryDeadline,
    memory({ id }) {
      const found = memory.get(id);
      if (found !== undefined) taken.add(id);
      return found;
    },
  });
  const predecessor: Predecessor = { parts, recover: true };
  return { predecessor, taken };
}
