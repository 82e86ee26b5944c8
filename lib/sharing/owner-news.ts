import type { Body, EventType, OwnerMessages } from "../wire/messages.js";
import type { Catalog, CatalogEntry } from "./catalog.js";
import type { Ledger } from "./ledger.js";

/** Sends an event to a session, while it lasts. */
export type Notify = <K extends EventType>(session: number, type: K, body: Body<OwnerMessages[K]>) => void;

/** What becomes of a version is told to whoever holds it, or, where he had no owner just then, when he is back. */
export class OwnerNews {
  constructor(
    private readonly ledger: Ledger,
    private readonly catalog: Catalog,
    private readonly notify: Notify,
  ) {}

  /** There is a new version of the set. */
  published({ id: by, set }: CatalogEntry): void {
    for (const version of this.ledger.versions()) {
      if (version.set !== set || version.id === by) continue;
      for (const session of this.ledger.connectionsOf({ version: version.id })) {
        this.notify(session, "superseded", { set, version: version.id, by });
      }
    }
  }

  /** The version is current again. */
  reinstated({ id, set }: CatalogEntry): void {
    for (const session of this.ledger.connectionsOf({ version: id })) {
      this.notify(session, "reinstated", { set, version: id });
    }
  }

  retired(set: string): void {
    const versions = this.ledger.versions().flatMap((version) => (version.set === set ? [version.id] : []));
    for (const session of this.ledger.connectionsOf({ set })) {
      this.notify(session, "retired", { set, versions });
    }
  }

  /** What the holder of these leases has not heard of while it had no owner. */
  catchUp(session: number, leases: readonly string[]): void {
    const versions = new Set(leases.map((lease) => this.ledger.lease(lease)?.version ?? ""));
    for (const id of versions) {
      const entry = this.catalog.get(id);
      if (entry === undefined) continue;
      const { set } = entry;
      const state = this.ledger.version(id)?.state;
      if (state === "current") this.notify(session, "reinstated", { set, version: id });
      if (state === "retired") this.notify(session, "retired", { set, versions: [id] });
      const by = this.ledger.current(set);
      if (state === "superseded" && by !== undefined) {
        this.notify(session, "superseded", { set, version: id, by });
      }
    }
  }
}
