import { CudaIpcError } from "../errors.js";
import type { NativeFd } from "../native.js";
import { asCoded } from "../wire/connection.js";
import { packTensors } from "../wire/manifest.js";
import type { Answer, ServerConnection } from "../wire/server.js";
import type { TensorColumns } from "../wire/values.js";
import type { CatalogEntry } from "./catalog.js";
import { exportState, type OwnerParts } from "./owner-state.js";

const prefix = "standby ";

interface Mirrored {
  readonly connection: ServerConnection;
  readonly keeper: string;
  readonly stop: () => void;
}

/** A version's memory as it is sent to another owner: the list of tensors, and the slabs' descriptors in order. */
export function memoryOf(entry: CatalogEntry): {
  memory: { version: string; tensors: TensorColumns };
  fds: NativeFd[];
} {
  return {
    memory: { version: entry.id, tensors: packTensors(entry.tensors) },
    fds: entry.slabs.flatMap(({ fd }) => (fd === undefined ? [] : [fd])),
  };
}

/** Whether a successor can be given the version's memory: `ipc` memory dies with its owner. */
export function canBeGiven(entry: CatalogEntry): boolean {
  return entry.sharing === "vmm" && entry.presence === "present";
}

/**
 * The owner's side of its standbys: each hears the state as it is, and every change before anybody else hears of its
 * effect. A standby is a keeper of all memory it was sent, until it says otherwise or its process is dead.
 */
export class MirrorSource {
  private readonly mirrored = new Map<number, Mirrored>();

  constructor(private readonly parts: OwnerParts) {
    parts.catalog.on("supplied", (entry) => {
      if (!canBeGiven(entry)) return;
      for (const mirror of this.mirrored.values()) this.sendLater(mirror, [entry]);
    });
  }

  open(session: number, connection: ServerConnection, process: string): Answer<"mirror"> {
    if (this.mirrored.has(session)) {
      throw new CudaIpcError("ERR_CUDA_IPC_INVALID_STATE", "This connection mirrors the owner already.");
    }
    const keeper = prefix + process;
    // A standby that comes back has closed what it had.
    this.gone(keeper);
    const { log, catalog, ledger } = this.parts;
    const mirror: Mirrored = { connection, keeper, stop: () => stop() };
    const stop = log.subscribe((changes) => {
      told(connection, () => connection.notify("mirrorChanged", { changes: [...changes] }));
      for (const change of changes) {
        if (change.op !== "versionAdded") continue;
        const entry = catalog.get(change.version.id);
        if (entry !== undefined && canBeGiven(entry)) this.sendLater(mirror, [entry]);
      }
    });
    this.mirrored.set(session, mirror);
    const changes = [...exportState(this.parts).changes()];
    const given = catalog
      .list()
      .filter((entry) => canBeGiven(entry) && ledger.version(entry.id)?.state !== "released");
    this.sendLater(mirror, given);
    return { body: { changes, memories: given.length } };
  }

  /** The standby holds these no more. */
  dropped(session: number, versions: readonly string[]): void {
    const mirror = this.mirrored.get(session);
    if (mirror === undefined) return;
    for (const version of versions) this.gone(mirror.keeper, version);
  }

  /** Its process may hold what it has for as long as it lives. */
  connectionClosed(session: number): void {
    this.mirrored.get(session)?.stop();
    this.mirrored.delete(session);
  }

  processExited(process: string): void {
    this.gone(prefix + process);
  }

  /** The processes that may hold memory as standbys, of this owner or of the one before it. */
  processes(): Set<string> {
    const keepers = this.parts.ledger.versions().flatMap((version) => version.keepers);
    return new Set(
      keepers.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length)),
    );
  }

  private gone(keeper: string, version?: string): void {
    const { catalog, ledger } = this.parts;
    catalog.apply(ledger.keeperGone(keeper, version));
  }

  /**
   * Whoever has memory is written down as its keeper before he has it: of another the next owner would not wait for it.
   * Not at once: this may run while a change is being told, or before the reply that the memory comes behind.
   */
  private sendLater({ connection, keeper }: Mirrored, entries: readonly CatalogEntry[]): void {
    if (connection.closed) return;
    const { ledger, log } = this.parts;
    for (const { id } of entries) ledger.addKeeper(id, keeper, Date.now());
    queueMicrotask(() => {
      log.commit();
      for (const entry of entries) this.sendMemory(connection, entry);
    });
  }

  private sendMemory(connection: ServerConnection, entry: CatalogEntry): void {
    if (connection.closed) return;
    told(connection, () => {
      const { memory, fds } = memoryOf(entry);
      connection.notify("mirrorMemory", { memory }, fds);
    });
  }
}

/**
 * A standby that cannot be told something, such as for want of descriptors to send it with, is disconnected: it comes
 * back and asks for everything anew. Whatever the owner is doing goes on.
 */
function told(connection: ServerConnection, tell: () => void): void {
  try {
    tell();
  } catch (error) {
    // Not at once: others are being told of the same change.
    queueMicrotask(() => connection.fail(asCoded(error)));
  }
}
