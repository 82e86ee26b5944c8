import type { Catalog, CatalogEntry } from "./catalog.js";
import type { Ledger } from "./ledger.js";
import { Version } from "./version.js";

/** The versions as the owner's program sees them: one object for each, however often it is asked for. */
export class VersionViews {
  private readonly known = new WeakMap<CatalogEntry, Version>();

  constructor(
    private readonly ledger: Ledger,
    private readonly catalog: Catalog,
  ) {}

  readonly of = (entry: CatalogEntry): Version => {
    let version = this.known.get(entry);
    if (version === undefined) {
      version = new Version(entry, this.ledger, this.catalog);
      this.known.set(entry, version);
    }
    return version;
  };

  /** Of every version whose memory is not freed yet. */
  all(): Version[] {
    return this.catalog.list().map(this.of);
  }

  /** Those whose memory would go with this process, and others have it mapped. */
  leasedIpc(): Version[] {
    return this.catalog.list().flatMap((entry) => {
      const leased = entry.presence === "present" && entry.sharing === "ipc" && this.of(entry).refCount > 0;
      return leased ? this.of(entry) : [];
    });
  }
}
