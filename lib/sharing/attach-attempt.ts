import type { Access } from "../native.js";
import { closeAll, type Mappable } from "../wire/ahead.js";
import type { ReplyTo } from "../wire/client.js";
import { attachSteps } from "./attach-steps.js";
import type { Attachment } from "./attachment.js";
import { type AttachedOpener, openAttached } from "./open-attached.js";

/** What an attempt has of its client. */
export interface AttemptContext {
  readonly addon: AttachedOpener;
  /** The owner counts the lease. */
  onGranted(lease: string): void;
  /** Tells the owner that the lease has ended, when its memory is unmapped. */
  onEnd(lease: string): Promise<void>;
  /** The memory is being mapped: the last one told of is what `attachment` gives, if it gives one. */
  onOpening?(attachment: Attachment): void;
}

/**
 * One request for a lease, and the memory that came for it: it is mapped as it comes, ahead of the grant as a rule, which
 * may be of another version.
 */
export class AttachAttempt {
  private opening: Promise<Attachment> | undefined;
  /** One version as a rule: another too where the request went again on another line. */
  private readonly borrowed = new Set<string>();
  private granted: string | undefined;
  /** Whoever has given up does not wait for the owner's word on the end either: it may be what he did not get. */
  private patient = true;

  constructor(
    private readonly lease: string,
    private readonly access: Access,
    private readonly context: AttemptContext,
  ) {}

  /** Whether what came ahead is on loan: the owner keeps it until the lease is released. */
  get borrows(): boolean {
    return this.borrowed.size > 0;
  }

  /** Whether another version was granted than is on loan. */
  get outdated(): boolean {
    const { granted } = this;
    return granted !== undefined && [...this.borrowed].some((id) => id !== granted);
  }

  readonly onAhead = (memory: Mappable): void => {
    if (memory.slabs.some(({ handle }) => handle !== null)) this.borrowed.add(memory.version.id);
    this.open(memory);
  };

  readonly onReply = ({ memory, message }: ReplyTo<"attach">): void => {
    attachSteps.tell?.("answered");
    this.granted = message.version.id;
    this.context.onGranted(this.lease);
    if (memory === undefined) return;
    // Another version than came ahead, as a rule.
    if (!this.outdated) this.open(memory, this.undo());
    else closeAll(memory);
  };

  /** Unmaps what is mapped, or will be; undefined where nothing is. Never rejects. */
  undo(): Promise<void> | undefined {
    const undone = this.opening?.then((attachment) => attachment.undo()).catch(() => {});
    this.opening = undefined;
    return undone;
  }

  /** Of a granted lease: what is mapped for it. After a failure, or when the signal is aborted, the lease has ended. */
  async attachment(signal: AbortSignal | undefined): Promise<Attachment> {
    let attachment: Attachment;
    try {
      attachment = await this.opening!;
    } catch (error) {
      this.patient = !signal?.aborted;
      await this.end(this.lease);
      throw error;
    }
    if (!signal?.aborted) return attachment;
    this.patient = false;
    await attachment.end(null);
    throw signal.reason;
  }

  private open(memory: Mappable, replaced?: Promise<void>): void {
    const { lease, access, context } = this;
    const onEnd = (id: string) => this.end(id);
    const onOpening = (attachment: Attachment) => context.onOpening?.(attachment);
    const opened = openAttached(memory, { lease, access, onEnd, onOpening }, context.addon);
    // What it replaces is gone by the time it is here, or is not.
    this.opening = replaced === undefined ? opened : opened.finally(() => replaced);
    this.opening.catch(() => {});
  }

  private async end(lease: string): Promise<void> {
    const ended = this.context.onEnd(lease);
    if (this.patient) await ended;
  }
}
