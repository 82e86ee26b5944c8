import type { CudaIpcError } from "../../errors.js";
import type { NativeFd } from "../../native.js";
import type { OwnerParts } from "../owner-state.js";
import type { Recovery } from "../recovery.js";
import { managerPrefix, type ServiceManager } from "./service-manager.js";
import { StoredMemory, type StoredMemoryOptions } from "./stored-memory.js";
import { removeUnclaimed } from "./unclaimed.js";

export interface OwnerServiceOptions extends StoredMemoryOptions {
  /**
   * How long another process's service manager is awaited that may have memory, and another owner of this process that
   * has memory in store: milliseconds.
   */
  strangersMs: number;
}

/** The owner as a service: what its service manager, where there is one, is told and given. */
export class OwnerService {
  private readonly stored: StoredMemory | undefined;
  private strangers: NodeJS.Timeout | undefined;
  private unclaimed: NodeJS.Timeout | undefined;

  constructor(
    private readonly manager: ServiceManager | undefined,
    private readonly parts: OwnerParts,
    private readonly options: OwnerServiceOptions,
  ) {
    if (manager?.line !== undefined) {
      this.stored = new StoredMemory(manager, manager.line, parts, options);
    }
  }

  /** The owner listens. `handedOver`: the one before it has removed from its own service's store what it had there. */
  begin(socket: string, recovery: Recovery | undefined, { handedOver = false } = {}): void {
    if (this.manager?.problem !== undefined) this.options.onError(this.manager.problem);
    this.stored?.begin(recovery);
    if (this.manager?.line !== undefined) {
      const { onError, onRefused, strangersMs: after } = this.options;
      const onRoom = () => this.stored?.storeAll();
      this.unclaimed = removeUnclaimed(this.manager, { after, onError, onRefused, onRoom });
    }
    this.strangers = setTimeout(
      () => this.forgetStrangers(),
      handedOver ? 0 : this.options.strangersMs,
    ).unref();
    this.tell({ READY: "1", STATUS: `Listening on ${socket}.` });
  }

  /** How many versions the service manager has. */
  get versions(): number {
    return this.stored?.size ?? 0;
  }

  stopping(): void {
    clearTimeout(this.strangers);
    clearTimeout(this.unclaimed);
    this.tell({ STOPPING: "1" });
  }

  /** Has the manager let go of everything. `silently`: the ledger is another process's by now. */
  async letGo(how?: { silently: boolean }): Promise<void> {
    clearTimeout(this.strangers);
    clearTimeout(this.unclaimed);
    await this.stored?.letGo(how);
  }

  /** Leaves everything with the manager, for the owner after this one. */
  async leave(): Promise<void> {
    await this.stored?.leave();
  }

  private tell(fields: Record<string, string>): void {
    this.manager?.line?.send(fields).catch((error) => this.options.onError(error as CudaIpcError));
  }

  /** Of a service that is not this one nobody hears whether its store was emptied. */
  private forgetStrangers(): void {
    const { catalog, ledger } = this.parts;
    const keepers = new Set(ledger.versions().flatMap((version) => version.keepers));
    for (const keeper of keepers) {
      if (!keeper.startsWith(managerPrefix) || (this.stored && keeper === this.manager?.keeper)) continue;
      catalog.apply(ledger.keeperGone(keeper));
    }
  }
}

/** A standby has its memory from the owner: what is in its own service's store has no use any more. */
export function standBy(
  manager: ServiceManager,
  socket: string,
  { after, onError }: { after: number; onError: (error: Error) => void },
): void {
  const discarded: NativeFd[] = [];
  for (const [name, fds] of manager.takeStored()) {
    discarded.push(...fds);
    manager.room.used -= fds.length;
    manager.line?.remove(name).catch(onError);
  }
  for (const fd of discarded) void fd.dispose();
  if (manager.line !== undefined) removeUnclaimed(manager, { after, onError, onRefused: onError });
  manager.line?.send({ READY: "1", STATUS: `Standing by for the owner on ${socket}.` }).catch(onError);
}
