import path from "node:path";
import type { WorkerCommands } from "./actors/worker.js";
import { Child } from "./child.js";

export type Worker = Child<WorkerCommands>;

const program = path.join(__dirname, "actors", "worker.js");

/** One worker's place: when its process is killed, another takes it. */
export class Slot {
  /** When the process that serves here was ready. */
  since = 0;
  private present: Worker | undefined;
  private generation = 0;
  private readonly waiting: ((worker: Worker) => void)[] = [];

  constructor(
    private readonly number: number,
    private readonly socket: string,
    private readonly concurrency: number,
    private readonly watch: (worker: Worker) => void,
  ) {}

  /** The process that serves here; waits for the next one while there is none. */
  worker(): Promise<Worker> {
    if (this.present !== undefined) return Promise.resolve(this.present);
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  get serving(): Worker | undefined {
    return this.present;
  }

  async start(): Promise<void> {
    const worker: Worker = new Child(`worker ${this.number}.${++this.generation}`, program);
    this.watch(worker);
    await worker.call("begin", this.socket, this.concurrency);
    this.present = worker;
    this.since = performance.now();
    for (const resolve of this.waiting.splice(0)) resolve(worker);
  }

  /** Kills the process that serves here, and returns when it is dead. */
  async kill(): Promise<Worker> {
    const victim = this.present!;
    this.present = undefined;
    await victim.kill();
    return victim;
  }
}
