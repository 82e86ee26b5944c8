import { Operation } from "./ledger-effects.js";
import { invalidState, unknownSet, unknownVersion } from "./ledger-errors.js";
import { LedgerQueries } from "./ledger-queries.js";
import type { VersionRecord } from "./ledger-table.js";
import type { Effects, NewVersion } from "./ledger-types.js";

/** The life of versions, from their loading to the last keeper of their memory. */
export class VersionLedger extends LedgerQueries {
  /** Adds a version that is not published yet; it lives until `publish` and what follows, or `discard`. */
  addVersion(version: NewVersion): void {
    if (this.table.versions.has(version.id)) {
      throw invalidState(`The version ${version.id} is in the ledger already. Version ids must be random.`);
    }
    this.table.addVersion(version);
  }

  /** Makes a version its set's current one, in one step: at no time is there none. */
  publish(id: string): Effects & { superseded: string | undefined } {
    const version = this.liveVersion(id);
    const previous = this.currentOf(version.set);
    const operation = new Operation(this.table);
    if (previous !== undefined && previous !== version) {
      previous.state = "superseded";
      operation.touch(previous);
    }
    version.state = "current";
    operation.touch(version);
    const superseded = previous === version ? undefined : previous?.id;
    return { ...operation.settle(), superseded };
  }

  /** Withdraws a set: nobody new gets it; each of its versions is free at its last lease. */
  retire(set: string): Effects & { retired: string[] } {
    const published = [...this.table.versions.values()].filter(
      ({ set: name, state }) => name === set && state !== "staged" && state !== "released",
    );
    if (published.length === 0) throw unknownSet(set);
    const operation = new Operation(this.table);
    const retired = published.filter(({ state }) => state !== "retired");
    for (const version of retired) {
      version.state = "retired";
      operation.touch(version);
    }
    return { ...operation.settle(), retired: retired.map(({ id }) => id) };
  }

  /** Gives up a version that was never published, such as a load that failed. */
  discard(id: string): Effects {
    const version = this.liveVersion(id);
    if (version.state !== "staged") {
      throw invalidState(`The version ${id} has been published. Publish another one, or retire its set.`);
    }
    version.state = "retired";
    version.pinned = false;
    return this.settle(version);
  }

  /** A pinned version is not freed, whoever holds it or does not. */
  pin(id: string): Effects {
    const version = this.liveVersion(id);
    version.pinned = true;
    return this.settle(version);
  }

  unpin(id: string): Effects {
    const version = this.liveVersion(id);
    version.pinned = false;
    return this.settle(version);
  }

  /** The owner has let go of a released version's memory (where it can, with the device's confirmation). */
  handedBack(id: string): Effects {
    const version = this.table.versions.get(id);
    if (version === undefined) throw unknownVersion(id);
    if (version.state !== "released") {
      throw invalidState(`The version ${id} is ${version.state}: its memory must not be handed back.`);
    }
    version.handedBack = true;
    return this.settle(version);
  }

  /** The memory of a version is gone, or nobody can give it back: whatever was held of it ends. */
  lose(id: string): Effects {
    const version = this.table.versions.get(id);
    if (version === undefined) throw unknownVersion(id);
    const operation = new Operation(this.table);
    for (const lease of [...version.held, ...version.awaited]) operation.end(lease, "version-lost");
    for (const keeper of [...version.keepers.values()]) this.table.dropKeeper(keeper);
    this.table.dropVersion(version);
    operation.effects.freed.push(id);
    return operation.settle();
  }

  /** Looks at every version: for a successor, whose snapshot may hold what is free already. */
  sweep(): Effects {
    const operation = new Operation(this.table);
    for (const version of this.table.versions.values()) operation.touch(version);
    return operation.settle();
  }

  /** Somebody beside the workers (a standby, the service manager) holds descriptors of this version. */
  addKeeper(id: string, keeper: string, now: number): void {
    const version = this.table.versions.get(id);
    if (version === undefined) throw unknownVersion(id);
    if (version.keepers.has(keeper)) return;
    this.table.addKeeper(keeper, version, undefined, now);
  }

  /** The keeper has let go: of one version, or of all. */
  keeperGone(keeper: string, id?: string): Effects {
    const operation = new Operation(this.table);
    for (const version of this.table.versions.values()) {
      const record = id === undefined || id === version.id ? version.keepers.get(keeper) : undefined;
      if (record === undefined) continue;
      this.table.dropKeeper(record);
      operation.touch(version);
    }
    return operation.settle();
  }

  protected liveVersion(id: string): VersionRecord {
    const version = this.table.versions.get(id);
    if (version === undefined || version.state === "released") throw unknownVersion(id);
    return version;
  }

  protected settle(version: VersionRecord): Effects {
    const operation = new Operation(this.table);
    operation.touch(version);
    return operation.settle();
  }
}
