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

/** The leases of one client, and what their holders are told. */
export class HeldLeases {
  private readonly held = new Map<string, Held>();

  get size(): number {
    return this.held.size;
  }

  attachments(): Attachment[] {
    return [...this.held.values()].map(({ attachment }) => attachment);
  }

  add(attachment: Attachment, weights: Weights): void {
    this.held.set(attachment.lease, { attachment, weights: new WeakRef(weights), lost: false, news: "" });
  }

  delete(lease: string): void {
    this.held.delete(lease);
  }

  tell(event: OwnerMessages["superseded" | "retired"]): void {
    for (const held of [...this.held.values()]) {
      const { version } = held.attachment;
      const concerned =
        event.type === "retired" ? event.versions.includes(version.id) : event.version === version.id;
      const news = event.type === "retired" ? "retired" : event.by;
      if (!concerned || held.news === news) continue;
      held.news = news;
      const weights = held.weights.deref();
      if (event.type === "retired") weights?.emit("retired", { set: event.set });
      else weights?.emit("superseded", { set: event.set, version: event.by });
    }
  }

  ownerLost(error: CudaIpcError | undefined): void {
    for (const held of [...this.held.values()]) {
      if (held.lost) continue;
      held.lost = true;
      held.weights.deref()?.emit("ownerlost", error);
    }
  }

  ownerFound(lease: string, found: { owner: string; kept: boolean }): void {
    const held = this.held.get(lease);
    if (held === undefined || !held.lost) return;
    held.lost = false;
    // On a turn of its own: what a listener throws is not the connection's fault.
    queueMicrotask(() => held.weights.deref()?.emit("ownerfound", found));
  }
}
