import { ClusterWorker } from "./cluster-worker.js";

/** The workers of the cluster, those that were killed included. */
export class WorkerPool {
  readonly all: ClusterWorker[] = [];
  private readonly waiting: (() => void)[] = [];

  constructor(
    private readonly socket: string,
    private readonly tensor: string,
  ) {}

  get serving(): ClusterWorker[] {
    return this.all.filter((worker) => !worker.killed);
  }

  async start(): Promise<ClusterWorker> {
    const worker = await ClusterWorker.start(this.next++, this.socket, this.tensor);
    this.all.push(worker);
    for (const wake of this.waiting.splice(0)) wake();
    return worker;
  }

  private next = 1;

  /** The least busy worker; waits for one to be started when there is none. */
  async leastBusy(): Promise<ClusterWorker> {
    for (;;) {
      const [best] = this.serving.sort((a, b) => a.inFlight - b.inFlight || a.answered - b.answered);
      if (best !== undefined) return best;
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.serving.map((worker) => worker.close()));
  }
}
