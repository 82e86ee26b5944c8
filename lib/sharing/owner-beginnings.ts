import { CudaIpcError } from "../errors.js";
import { type NativeFd, type NativeFileLock, native } from "../native.js";
import { activatedListener, chosen, type Foundation, inherit } from "./foundation.js";
import { receiveHandover } from "./handover-receive.js";
import type { OwnerOptions } from "./owner-options.js";
import { attemptUntil, isLost } from "./patience.js";
import { defaultRecoveryDeadline, readPredecessor } from "./predecessor.js";
import { keptInStore } from "./service-manager/kept.js";
import { standBy } from "./service-manager/owner-service.js";
import { prepareSocketFolder } from "./socket-folder.js";
import { removeStaleSocket } from "./socket-path.js";
import { type Inheritance, Standby } from "./standby.js";
import type { StoredState } from "./stored-state.js";

/** How long a standby tries when owners end, or hand over, while it asks. */
const standbyMs = 10_000;

/** Makes an owner of what it is built on, and listens; on failure all of that is the caller's again. */
export type Begin<Owner> = (foundation: Foundation, options: OwnerOptions) => Owner;

/** An owner that has all but the socket, whose journal lies beside another one's. */
export interface PreparedOwner<Owner> {
  /** It will not have the socket. */
  discard(): void;
  /** It has: the descriptor of what listens stays the caller's. */
  begin(listener: NativeFd): Owner;
}

/** Nobody listens on the socket: what an owner that died there has left is taken up. */
export async function beginAlone<Owner>(options: OwnerOptions, begin: Begin<Owner>): Promise<Owner> {
  const { socket, mode, manager, driver } = chosen(options);
  let lock: NativeFileLock | undefined;
  try {
    await prepareSocketFolder(socket, mode);
    lock = native.lockFile(`${socket}.lock`);
    if (lock === undefined) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_OWNER_RUNNING",
        `Another owner has ${socket}. Attach to it, choose another socket, or end it first.`,
        { details: { socket } },
      );
    }
    const left = await readPredecessor(socket, options);
    const activated = await activatedListener(manager, socket);
    // The lock says that nobody listens, so what is left there is a dead owner's.
    if (activated === undefined) await removeStaleSocket(socket);
    const owner = begin({ socket, mode, lock, driver, manager, activated, ...left }, options);
    driver.keep();
    return owner;
  } catch (error) {
    lock?.close();
    driver.close();
    throw error;
  }
}

/** An owner listens on the socket, and this process takes over when it has died. */
export async function beginWhenDead<Owner>(
  options: OwnerOptions,
  begin: Begin<Owner>,
): Promise<Standby<Owner>> {
  const { socket, mode, manager, driver: standbys } = chosen(options);
  const takeOver = async ({ lock, state, memory }: Inheritance) => {
    const driver = native.pinProvider(options.driver);
    try {
      await removeStaleSocket(socket);
      const { predecessor, taken } = inherit(state, memory, options);
      const owner = begin({ socket, mode, lock, driver, manager, ...predecessor }, options);
      memory.handOn(taken);
      return owner;
    } catch (error) {
      lock.close();
      driver.close();
      throw error;
    }
  };
  const kept = manager && ((state: StoredState) => keptInStore(manager, state));
  const standby = await attemptUntil(
    { timeout: standbyMs },
    () => Standby.start(socket, takeOver, kept),
    async (error) => isLost(error),
  ).catch((error) => {
    standbys.close();
    throw error;
  });
  standbys.keep();
  const ended = () => standbys.close();
  standby.owner.then(ended, ended);
  if (manager !== undefined) {
    const after = options.recoveryDeadline ?? defaultRecoveryDeadline;
    standBy(manager, socket, { after, onError: (error) => standby.report(error) });
  }
  return standby;
}

/** An owner listens on the socket, and hands everything over. */
export async function beginHandedOver<Owner>(
  options: OwnerOptions & { signal?: AbortSignal },
  prepare: (foundation: Foundation, options: OwnerOptions) => PreparedOwner<Owner>,
): Promise<Owner> {
  const { socket, mode, manager, driver } = chosen(options, ["signal"]);
  const handover = await receiveHandover(socket, { signal: options.signal }).catch((error) => {
    driver.close();
    throw error;
  });
  const { lock, listener, state, memory } = handover;
  let prepared: PreparedOwner<Owner> | undefined;
  let taken: Set<string>;
  try {
    const inherited = inherit(state, memory, options);
    taken = inherited.taken;
    prepared = prepare({ socket, mode, lock, driver, manager, ...inherited.predecessor }, options);
    // Who connects waits until then: what is granted here must not be unknown to an old owner that goes on.
    await handover.taken();
  } catch (error) {
    prepared?.discard();
    handover.giveUp();
    driver.close();
    throw error;
  }
  memory.handOn(taken);
  const owner = prepared.begin(listener);
  driver.keep();
  listener.close();
  return owner;
}
