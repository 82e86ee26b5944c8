import type { CudaIpcError } from "../errors.js";
import type { OwnerMessages } from "../wire/messages.js";
import type { Attachment } from "./attachment.js";
import type { Weights } from "./weights.js";

interface Held {
  readonly attachment: Attachment;
  /** Weak, so that weights nobody uses can be collected, and their lease with them. */
  readonly weights: WeakRef<Weights>;
  /** Told of the loss of its owner, and not yet of another. */
  lost: boolean;
  /** What its holder has heard last, for an owner says it again to whoever comes back. */
  news: string;
}

type VersionEvent = OwnerMessages["superseded" | "reinstated" | "retired"];

/** Of how many versions the last news are kept: of more than anybody attaches to at a time. */
const remembered = 256;

/** The leases of one client, and what their holders are told. */
export class HeldLeases {
  private readonly held = new Map<string, Held>();
  /**
   * What was said last of each version: an owner tells a connection once, from the grant of a lease on, and the weights
   * come to be a moment later, when their memory is mapped.
   */
  private readonly last = new Map<string, VersionEvent>();

  get size(): number {
    return this.held.size;
  }

  attachments(): Attachment[] {
    return [...this.held.values()].map(({ attachment }) => attachment);
  }

  add(attachment: Attachment, weights: Weights): void {
    const held = { attachment, weights: new WeakRef(weights), lost: false, news: "" };
    this.held.set(attachment.lease, held);
    const { id } = attachment.version;
    const event = this.last.get(id);
    if (event === undefined) return;
    // When whoever awaits the weights has had the time to listen.
    setImmediate(() => {
      if (this.last.get(id) === event && this.held.has(attachment.lease)) inform(held, event);
    });
  }

  delete(lease: string): void {
    this.held.delete(lease);
  }

  tell(event: VersionEvent): void {
    const versions = event.type === "retired" ? event.versions : [event.version];
    for (const version of versions) this.remember(version, event);
    for (const held of [...this.held.values()]) {
      if (versions.includes(held.attachment.version.id)) inform(held, event);
    }
  }

  private remember(version: string, event: VersionEvent): void {
    this.last.delete(version);
    this.last.set(version, event);
    if (this.last.size > remembered) this.last.delete(this.last.keys().next().value!);
  }

  ownerLost(error: CudaIpcError | undefined): void {
    for (const held of [...this.held.values()]) {
      if (held.lost) continue;
      held.lost = true;
      tell(() => held.weights.deref()?.emit("ownerlost", error));
    }
  }

  ownerFound(lease: string, found: { owner: string; kept: boolean }): void {
    const held = this.held.get(lease);
    if (held === undefined || !held.lost) return;
    held.lost = false;
    tell(() => held.weights.deref()?.emit("ownerfound", found));
  }
}

function inform(held: Held, event: VersionEvent): void {
  const { set } = event;
  const news = newsOf(event);
  if (held.news === news) return;
  held.news = news;
  tell(() => {
    const weights = held.weights.deref();
    if (event.type === "retired") weights?.emit("retired", { set });
    else if (event.type === "reinstated") weights?.emit("reinstated", { set, version: event.version });
    else weights?.emit("superseded", { set, version: event.by });
  });
}

/** On a turn of its own: what a listener throws is not the connection's fault. */
function tell(emit: () => void): void {
  queueMicrotask(emit);
}

function newsOf(event: VersionEvent): string {
  if (event.type === "superseded") return event.by;
  return event.type === "retired" ? "retired" : "";
}
