import { setTimeout as delay } from "node:timers/promises";
import { attach, type Weights } from "../../../lib/index.js";
import { setName } from "../content.js";
import type { Holding } from "../messages.js";

interface Serving {
  readonly weights: Weights;
  requests: number;
  idle: (() => void) | undefined;
}

const retryMs = 50;

/**
 * Holds the newest version of the set: new requests run on it, those under way finish on the version they began with,
 * which is then released.
 */
export class Follower {
  private readonly draining = new Set<Serving>();
  private moving: Promise<void> | undefined;
  private again = false;
  private stopped = false;

  private constructor(
    private readonly socket: string,
    private serving: Serving,
  ) {
    this.listen(serving);
  }

  static async start(socket: string): Promise<Follower> {
    const weights = await attach(setName, { socket });
    return new Follower(socket, { weights, requests: 0, idle: undefined });
  }

  async use<T>(work: (weights: Weights) => Promise<T>): Promise<T> {
    const { serving } = this;
    serving.requests++;
    try {
      return await work(serving.weights);
    } finally {
      if (--serving.requests === 0) serving.idle?.();
    }
  }

  holding(): Holding {
    const all = [this.serving, ...this.draining];
    return {
      moving: this.moving !== undefined || this.draining.size > 0,
      leases: all.map(({ weights }) => weights.version.id),
    };
  }

  /** Releases everything. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.moving;
    await this.drain(this.serving);
  }

  private listen({ weights }: Serving): void {
    const move = () => {
      if (this.serving.weights === weights) this.move();
    };
    weights.on("superseded", move);
    // A version that was published while there was no connection was not told of.
    weights.on("ownerfound", move);
  }

  private move(): void {
    this.again = true;
    this.moving ??= this.moveNow().finally(() => {
      this.moving = undefined;
    });
  }

  private async moveNow(): Promise<void> {
    while (this.again && !this.stopped) {
      this.again = false;
      try {
        await this.attachNewest();
      } catch {
        // Between two owners. Requests go on with what there is.
        await delay(retryMs);
        this.again = true;
      }
    }
  }

  private async attachNewest(): Promise<void> {
    const weights = await attach(setName, { socket: this.socket });
    const before = this.serving;
    if (weights.version.id === before.weights.version.id) {
      await weights.release({ after: null });
      return;
    }
    this.serving = { weights, requests: 0, idle: undefined };
    this.listen(this.serving);
    void this.drain(before);
  }

  private async drain(serving: Serving): Promise<void> {
    this.draining.add(serving);
    if (serving.requests > 0) {
      await new Promise<void>((resolve) => {
        serving.idle = resolve;
      });
    }
    await serving.weights.release();
    this.draining.delete(serving);
  }
}
