import type { Weights } from "./weights.js";

/** One version and the requests that run on it. When it is not the newest any more it lasts as long as they do. */
export class Generation {
  private running = 0;
  private ending: (() => void) | undefined;

  constructor(readonly weights: Weights) {}

  get requests(): number {
    return this.running;
  }

  async run<T>(request: (weights: Weights) => T | Promise<T>): Promise<T> {
    this.running++;
    try {
      return await request(this.weights);
    } finally {
      if (--this.running === 0) this.ending?.();
    }
  }

  /** Releases the weights when the last request has ended. */
  async drain(): Promise<void> {
    if (this.running > 0) {
      await new Promise<void>((resolve) => {
        this.ending = resolve;
      });
    }
    await this.weights.release();
  }
}
