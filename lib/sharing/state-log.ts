import type { StateChange } from "../wire/changes.js";
import { checkedChange } from "../wire/check.js";

/** Takes what one operation changed, at once: the journal writes it down, a standby is told. Must not throw. */
export type StateSink = (changes: readonly StateChange[]) => void;

/**
 * Collects the changes of an owner's state. Whoever makes a change commits it before anybody is told of it, so that
 * what a worker has been told is known to every successor.
 */
export class StateLog {
  private pending: StateChange[] = [];
  private readonly sinks = new Set<StateSink>();

  /**
   * Throws what a successor would throw that reads the change: one such line would cost it all the others. Nobody has
   * been told of the change by then.
   */
  readonly record = (change: StateChange): void => {
    this.pending.push(checkedChange(change));
  };

  commit(): void {
    if (this.pending.length === 0) return;
    const changes = this.pending;
    this.pending = [];
    for (const sink of this.sinks) sink(changes);
  }

  /** The sink hears of what is committed from here on; what was before is for `exportState`. */
  subscribe(sink: StateSink): () => void {
    this.commit();
    this.sinks.add(sink);
    return () => this.sinks.delete(sink);
  }
}
