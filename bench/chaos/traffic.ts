import { setTimeout as delay } from "node:timers/promises";
import { requestKinds } from "./content.js";
import type { Findings } from "./findings.js";
import type { Slot } from "./slot.js";
import type { Versions } from "./versions.js";

interface Parts {
  slots: readonly Slot[];
  concurrency: number;
  pauseMs: number;
  versions: Versions;
  findings: Findings;
  /** When there was a worker again after the last time that there was none. */
  aliveSince(): number;
}

/** Closed-loop traffic: so many lanes for each worker, each with one request under way. */
export class Traffic {
  private stopping = false;
  private abandoned = false;
  private sent = 0;
  private lastAnswer = performance.now();
  private readonly lanes: Promise<void>[] = [];

  constructor(private readonly parts: Parts) {}

  start(): void {
    this.lastAnswer = performance.now();
    for (const slot of this.parts.slots) {
      for (let n = 0; n < this.parts.concurrency; n++) this.lanes.push(this.lane(slot));
    }
  }

  /** Resolves when every request that was sent has ended. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.lanes);
  }

  /** The run is over: what becomes of the requests under way says nothing any more. */
  abandon(): void {
    this.stopping = true;
    this.abandoned = true;
  }

  private async lane(slot: Slot): Promise<void> {
    while (!this.stopping) {
      await this.request(slot);
      await delay(this.parts.pauseMs);
    }
  }

  private async request(slot: Slot): Promise<void> {
    const { findings, versions } = this.parts;
    const kind = this.sent++ % requestKinds;
    const worker = await slot.worker();
    findings.figures.requests++;
    try {
      const answer = await worker.call("answer", kind);
      this.answered();
      versions.check(kind, answer);
    } catch (error) {
      if (this.abandoned) return;
      if (worker.killed) findings.figures.failedInKilledWorkers++;
      else findings.count("failedRequests", `${worker.name}: ${(error as Error).message}`);
    }
  }

  /** Time in which no worker was there to answer is no outage of a live one. */
  private answered(): void {
    const now = performance.now();
    const { figures } = this.parts.findings;
    const silence = now - Math.max(this.lastAnswer, this.parts.aliveSince());
    figures.longestOutageMs = Math.max(figures.longestOutageMs, Math.round(silence));
    this.lastAnswer = now;
  }
}
