import { CudaIpcError } from "../errors.js";
import { loadersGone } from "../loading/load.js";
import { closeSlab } from "../loading/owned-slab.js";
import type { NativeProviderPin } from "../native.js";
import { keepAlive } from "./keep-alive.js";
import { leasesHeld } from "./leases-held.js";
import { closeManifestFile } from "./manifest-file.js";
import type { OwnerJournal } from "./owner-journal.js";
import type { CloseOptions } from "./owner-options.js";
import type { OwnerServer } from "./owner-server.js";
import type { OwnerSocket } from "./owner-socket.js";
import type { OwnerParts } from "./owner-state.js";
import { untilAborted } from "./patience.js";
import type { Publisher } from "./publisher.js";
import type { Recovery } from "./recovery.js";
import type { OwnerService } from "./service-manager/owner-service.js";
import type { VersionViews } from "./version-views.js";

/** What an owner has to let go of. */
export interface OwnerHoldings {
  readonly parts: OwnerParts;
  readonly place: OwnerSocket;
  readonly journal: OwnerJournal;
  readonly driver: NativeProviderPin;
  readonly server: OwnerServer;
  readonly publisher: Publisher;
  readonly service: OwnerService;
  readonly recovery: Recovery | undefined;
  readonly versions: VersionViews;
  /** Ends what is under way: loads, a rehearsal, a recovery. */
  readonly aborted: AbortController;
}

/**
 * The ways in which an owner ends: closed with nothing left for another one, closed with everything left for the next,
 * and handed over.
 */
export class OwnerEnding {
  constructor(private readonly owner: OwnerHoldings) {}

  /** Throws where what is held is to refuse the end. */
  assertWanted({ ipcLeases, locks }: CloseOptions): void {
    if (ipcLeases === "refuse") {
      const { versions, server } = this.owner;
      const held = new Set([...versions.leasedIpc(), ...server.shelf.lent().map(versions.of)]);
      if (held.size > 0) throw leasesHeld([...held]);
    }
    if (locks === "refuse") this.owner.server.locks.assertFree();
  }

  /** `rehearsal` is what the owner does of its own accord, and is ended first. */
  async close(options: CloseOptions, rehearsal: Promise<void> | undefined): Promise<void> {
    // Nothing else may be left that does, as after `unref()`, and what is waited for is somebody else's.
    const alive = keepAlive();
    try {
      await this.closeNow(options, rehearsal);
    } finally {
      clearInterval(alive);
    }
  }

  private async closeNow(
    { signal, restart = false }: CloseOptions,
    rehearsal: Promise<void> | undefined,
  ): Promise<void> {
    const { server, service, publisher, recovery, versions, place, journal, driver, aborted } = this.owner;
    service.stopping();
    server.refuseNew();
    aborted.abort(new CudaIpcError("ERR_CUDA_IPC_CLOSED", "The owner was closed while it was loading."));
    await Promise.all([publisher.idle(), recovery?.idle()]);
    await Promise.all(
      versions.leasedIpc().map((version) => version.waitForRefCount((count) => count === 0, signal)),
    );
    // Whoever has asked is refused by now, but may have it open still.
    const returned = server.shelf.allReturned();
    await (signal === undefined ? returned : untilAborted(returned, signal));
    if (!restart) await server.locks.free(signal);
    await rehearsal;
    place.close();
    if (restart) await this.leave();
    else await this.letGo();
    // What is leased or kept still: its holders have the memory, this process lets go of its own descriptors.
    await this.closeSlabs();
    await loadersGone();
    await place.remove();
    if (restart) journal.close();
    else journal.remove();
    place.unlock();
    driver.close();
  }

  /** The successor has everything: what this process holds of it is let go, and the socket and its journal stay. */
  handedOver(): Promise<void> {
    const { server, place, journal, driver, aborted } = this.owner;
    server.abandon("handover");
    journal.stop();
    journal.close();
    place.unlock();
    driver.close();
    aborted.abort(
      new CudaIpcError("ERR_CUDA_IPC_HANDED_OVER", "The owner was handed over to another process."),
    );
    return this.closeSlabs();
  }

  /** Nothing is left for another owner. */
  private async letGo(): Promise<void> {
    const { server, service, versions, parts } = this.owner;
    const { catalog, ledger } = parts;
    server.close();
    for (const { set } of catalog.list()) {
      if (ledger.current(set) !== undefined) catalog.apply(ledger.retire(set));
    }
    for (const version of versions.all()) if (version.pinned) version.unpin();
    await catalog.settled();
    await service.letGo();
  }

  /** Another owner is to find everything as it is: nothing that ends from here on is written down. */
  private async leave(): Promise<void> {
    const { server, service, journal } = this.owner;
    journal.stop();
    server.abandon("restart");
    await service.leave();
  }

  private async closeSlabs(): Promise<void> {
    const entries = this.owner.parts.catalog.list();
    for (const entry of entries) closeManifestFile(entry);
    await Promise.all(entries.flatMap((entry) => entry.slabs.map(closeSlab)));
  }
}
