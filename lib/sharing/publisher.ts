import { JointAbort } from "../joint-abort.js";
import { type Loading, loadWeights } from "../loading/load.js";
import type { LoadedSlabs } from "../loading/loaded.js";
import { closeSlab } from "../loading/owned-slab.js";
import type { TensorEntry } from "../loading/plan.js";
import type { WeightsInput } from "../loading/source.js";
import type { Catalog, CatalogEntry, Publication } from "./catalog.js";
import { randomId } from "./ids.js";
import { checkedManifestDigest } from "./manifest-digest.js";
import { explainNoRoom } from "./no-room.js";
import { isUnchanged, originOf } from "./origin.js";
import type { LoadOptions } from "./owner-options.js";
import { untilAborted } from "./patience.js";
import type { Recovery } from "./recovery.js";
import { SerialQueue } from "./serial-queue.js";
import type { Version } from "./version.js";

export interface PublisherOptions {
  readonly catalog: Catalog;
  readonly recovery: Recovery | undefined;
  readonly loading: Loading;
  /** Ends all loads. */
  readonly signal: AbortSignal;
  handle(entry: CatalogEntry): Version;
  /** There is a new current version. */
  announce(entry: CatalogEntry): void;
}

/** The owner's loads: those of one set run one after the other, and each makes a version current, or nothing. */
export class Publisher {
  private readonly loads = new Map<string, SerialQueue>();

  constructor(private readonly options: PublisherOptions) {}

  /** Resolves when every load that was asked for by now has settled. */
  async idle(): Promise<void> {
    await Promise.all([...this.loads.values()].map((queue) => queue.idle()));
  }

  async load(name: string, source: WeightsInput, options: LoadOptions): Promise<Version> {
    const abort = new JointAbort([this.options.signal, options.signal]);
    const { signal } = abort;
    const onProgress = options.onProgress && abortingWhenThrown(options.onProgress, abort);
    let queue = this.loads.get(name);
    if (queue === undefined) {
      queue = new SerialQueue();
      this.loads.set(name, queue);
    }
    try {
      return await queue.run(() => this.publish(name, source, { ...options, onProgress, signal }));
    } finally {
      abort.leave();
    }
  }

  private async publish(
    name: string,
    source: WeightsInput,
    options: LoadOptions & { signal: AbortSignal },
  ): Promise<Version> {
    const { catalog, loading, handle, announce } = this.options;
    const { signal } = options;
    signal.throwIfAborted();
    const kept = options.ifChanged ? await this.unchanged(name, source, options, signal) : undefined;
    if (kept !== undefined) {
      if (options.pinned) kept.pin();
      return kept;
    }
    const id = randomId();
    let manifest: string | undefined;
    const onTensors = (tensors: readonly TensorEntry[]) => {
      manifest = checkedManifestDigest(name, tensors);
    };
    const loaded = await loadWeights(source, { ...options, loading, onTensors }).catch((error) => {
      throw explainNoRoom(error, name, catalog.list());
    });
    if (signal.aborted) {
      await Promise.all(loaded.slabs.map(closeSlab));
      throw signal.reason;
    }
    const { writable = false, pinned = false } = options;
    const origin = originOf(loaded.contentKey, options.device);
    const facts = { id, set: name, writable, pinned, source: loaded.source, origin, manifest };
    const entry = await this.enter(facts, loaded);
    announce(entry);
    return handle(entry);
  }

  /** Gives the memory back that cannot be published. */
  private async enter(facts: Publication, loaded: LoadedSlabs): Promise<CatalogEntry> {
    try {
      return this.options.catalog.publish(facts, loaded.sharing, loaded).entry;
    } catch (error) {
      await Promise.all(loaded.slabs.map(closeSlab));
      throw error;
    }
  }

  /** The current version if this load would only make it again. */
  private async unchanged(
    name: string,
    source: WeightsInput,
    options: LoadOptions,
    signal: AbortSignal,
  ): Promise<Version | undefined> {
    const { catalog, recovery, handle } = this.options;
    const entry = catalog.current(name);
    if (entry === undefined || !(await isUnchanged(entry, source, options, signal))) return undefined;
    // Each of these waits takes time in which it may be superseded, or lost.
    const isCurrent = () => catalog.current(name) === entry;
    if (entry.presence === "awaited" && isCurrent()) {
      await untilAborted(recovery!.whenSettled(entry), signal);
    }
    return entry.presence === "present" && isCurrent() ? handle(entry) : undefined;
  }
}

/** What the listener throws fails the load, which is aborted for it: from where it is called, it would end the process. */
function abortingWhenThrown<Args extends unknown[]>(
  listener: (...args: Args) => void,
  abort: AbortController,
): (...args: Args) => void {
  return (...args) => {
    if (abort.signal.aborted) return;
    try {
      listener(...args);
    } catch (error) {
      abort.abort(error);
    }
  };
}
