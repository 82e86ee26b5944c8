import { CudaIpcError } from "../errors.js";
import { maxLeasesPerRequest } from "../wire/limits.js";
import type { RequestMessage } from "../wire/messages.js";
import type { Answer } from "../wire/server.js";
import type { Catalog, CatalogEntry } from "./catalog.js";
import { descriptors, granted, grantedAhead } from "./grant.js";
import type { Ledger } from "./ledger.js";
import { noSet, noVersion } from "./ledger-errors.js";
import { ownerDied, type Recovery } from "./recovery.js";

export interface GrantingOptions {
  readonly ledger: Ledger;
  readonly catalog: Catalog;
  readonly recovery: Recovery | undefined;
  /** Throws when nothing is granted any more. */
  assertOpen(): void;
}

/** What a client was sent ahead. */
export interface SentAhead {
  readonly version: string;
  /** Of memory on loan: to be called when a lease keeps it. */
  readonly kept?: () => void;
}

/** Leases that are granted: of the version that is asked for, when its memory is here. */
export class Granting {
  /** How many requests of a session wait for a version to come back. */
  private readonly awaiting = new Map<number, number>();
  /** Sets whose current version died with the owner before, until there is a new one. */
  private readonly orphans = new Map<string, CatalogEntry>();

  constructor(private readonly options: GrantingOptions) {
    for (const entry of options.catalog.list()) {
      if (entry.presence === "orphaned") this.orphans.set(entry.set, entry);
    }
  }

  /** The set has a new version. */
  published({ set }: CatalogEntry): void {
    this.orphans.delete(set);
  }

  attach(
    session: number,
    request: RequestMessage<"attach">,
    ahead: SentAhead | undefined,
  ): Answer<"attach"> | Promise<Answer<"attach">> {
    const { ledger, catalog, recovery, assertOpen } = this.options;
    assertOpen();
    const entry = this.find(request);
    if (entry.presence === "awaited" && recovery !== undefined) {
      return this.whenSettled(session, recovery, entry).then(() => this.attach(session, request, ahead));
    }
    if (request.access === "readwrite" && !entry.writable) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_NOT_WRITABLE",
        `Version ${entry.number} of ${JSON.stringify(entry.set)} was not published as writable. Load it with { writable: true }, or attach with access "read".`,
      );
    }
    const inAdvance = ahead?.version === entry.id;
    const fds = inAdvance ? undefined : descriptors(entry);
    const { fresh, ...effects } = ledger.grant(
      { lease: request.lease, version: entry.id, connection: session },
      Date.now(),
    );
    catalog.apply(effects);
    // Who has it on loan owes a release whatever he is told: the lease keeps the memory until then.
    if (inAdvance && ahead.kept !== undefined) {
      ahead.kept();
      return { body: grantedAhead(request.lease, entry) };
    }
    const onUnsent = () => catalog.apply(ledger.release([request.lease], session));
    if (inAdvance) return { body: grantedAhead(request.lease, entry), onUnsent };
    return { body: granted(request.lease, entry), fds, onUnsent };
  }

  /** One more lease on what the process holds already. */
  retain(session: number, { lease, newLease }: RequestMessage<"retain">): Answer<"retain"> {
    const { ledger, catalog, assertOpen } = this.options;
    assertOpen();
    const { fresh, version, ...effects } = ledger.retain(
      { lease, newLease, connection: session },
      Date.now(),
    );
    catalog.apply(effects);
    return { body: { lease: newLease } };
  }

  /** Waiting takes memory, and no lease is counted for it yet: so many requests of one connection may. */
  private async whenSettled(session: number, recovery: Recovery, entry: CatalogEntry): Promise<void> {
    const waiting = this.awaiting.get(session) ?? 0;
    if (waiting >= maxLeasesPerRequest) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_LEASE_LIMIT",
        `${waiting} requests of this connection wait for versions that the owner is recovering, and that is the limit. Ask again when it has recovered.`,
        { details: { scope: "waiting", leases: waiting, limit: maxLeasesPerRequest } },
      );
    }
    this.awaiting.set(session, waiting + 1);
    try {
      await recovery.whenSettled(entry);
    } finally {
      const left = this.awaiting.get(session)! - 1;
      if (left > 0) this.awaiting.set(session, left);
      else this.awaiting.delete(session);
    }
  }

  private find({ set, version, checksum }: RequestMessage<"attach">): CatalogEntry {
    const { catalog } = this.options;
    const current = catalog.current(set);
    const entry = version === null ? current : catalog.get(version);
    const orphan = version === null && current === undefined ? this.orphans.get(set) : entry;
    if (orphan?.set === set && orphan.presence === "orphaned") throw ownerDied(orphan);
    if (entry === undefined || entry.set !== set) {
      const known = [...new Set(catalog.list().map((other) => other.set))].filter((name) =>
        catalog.current(name),
      );
      throw version === null ? noSet(set, known) : noVersion(set, version, known);
    }
    if (checksum !== null && checksum !== entry.checksum) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_CHECKSUM_MISMATCH",
        `Version ${entry.number} of ${JSON.stringify(set)} has the checksum ${entry.checksum}, not ${checksum}: it holds other weights. ` +
          "Publish the ones that are expected, or attach without { checksum } to take what there is.",
        { details: { expected: checksum, actual: entry.checksum } },
      );
    }
    return entry;
  }
}
