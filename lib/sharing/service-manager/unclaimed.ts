import { CudaIpcError } from "../../errors.js";
import type { NativeFd } from "../../native.js";
import type { ServiceManager } from "./service-manager.js";

export interface UnclaimedOptions {
  /** How long owners of this process have to begin at those sockets: milliseconds. */
  readonly after: number;
  onError(error: CudaIpcError): void;
  onRefused(error: CudaIpcError): void;
  /** There is more room in the store. */
  onRoom?(): void;
}

/**
 * What came back from the store for sockets at which nobody of this process listens or stands by: the service was
 * started with another path before. Nobody would ever ask for it, and the manager would keep that memory for as long as
 * the unit lives, so it is removed after a time.
 */
export function removeUnclaimed(
  manager: ServiceManager,
  { after, onError, onRefused, onRoom }: UnclaimedOptions,
): NodeJS.Timeout {
  const remove = () => {
    const discarded: NativeFd[] = [];
    for (const [name, fds] of manager.takeUnclaimed()) {
      discarded.push(...fds);
      manager.room.used -= fds.length;
      manager.line?.remove(name).catch(onError);
      onRefused(unclaimed(name));
    }
    for (const fd of discarded) void fd.dispose();
    if (discarded.length > 0) onRoom?.();
  };
  return setTimeout(remove, after).unref();
}

function unclaimed(name: string): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_OFFER_REFUSED",
    `What the service manager had in store as ${name} was removed: it belongs to a socket at which nobody of this process listens or stands by. The service was started with another path before.`,
    { details: { name } },
  );
}
