/** A worker as the primary process sees it. */
import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";
import { Agent, request } from "node:http";
import path from "node:path";
import { earlyStart } from "../../lib/index.js";
import { type Answers, type Ask, type FromWorker, type Ready, workerEnvironment } from "./messages.js";

export interface Answer {
  output: Float32Array;
  previous: bigint;
  version: string;
}

export class ClusterWorker {
  /** Requests sent and not answered. */
  inFlight = 0;
  answered = 0;
  readonly latencies: number[] = [];
  killed = false;
  /** From fork to serving. */
  startMs = 0;
  ready: Ready | undefined;
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
  private readonly agent = new Agent({ keepAlive: true });
  private readonly asked = new Map<number, { resolve(value: never): void; reject(error: Error): void }>();
  private nextAsk = 0;

  private constructor(
    readonly number: number,
    private readonly worker: Worker,
  ) {
    this.exited = once(worker, "exit").then(([code, signal]) => {
      for (const { reject } of this.asked.values()) reject(this.ended(code, signal));
      this.asked.clear();
      this.agent.destroy();
      return { code, signal };
    });
  }

  /** Forks a worker, and resolves when it serves. */
  static async start(number: number, socket: string, tensor: string): Promise<ClusterWorker> {
    cluster.setupPrimary({ exec: path.join(__dirname, "worker.js"), args: [] });
    const forked = performance.now();
    const worker = cluster.fork({
      ...earlyStart(),
      [workerEnvironment.socket]: socket,
      [workerEnvironment.tensor]: tensor,
    });
    const self = new ClusterWorker(number, worker);
    self.ready = await new Promise<Ready>((resolve, reject) => {
      worker.on("message", (message: FromWorker) => {
        if ("ready" in message) resolve(message.ready);
        else if ("failed" in message)
          reject(new Error(`Worker ${number} could not start: ${message.failed}`));
        else self.settle(message);
      });
      self.exited.then(({ code, signal }) => reject(self.ended(code, signal)));
    });
    self.startMs = performance.now() - forked;
    return self;
  }

  get pid(): number {
    return this.worker.process.pid!;
  }

  /** A way to die that no code of the worker's can notice. */
  kill(): void {
    this.killed = true;
    this.worker.process.kill("SIGKILL");
  }

  ask<Command extends keyof Answers>(command: Command): Promise<Answers[Command]> {
    const ask: Ask = { id: this.nextAsk++, command };
    return new Promise((resolve, reject) => {
      this.asked.set(ask.id, { resolve, reject });
      this.worker.send(ask);
    });
  }

  /** Sends one request; rejects when the worker dies before its answer has come whole. */
  async post(body: Uint8Array): Promise<Answer> {
    const before = performance.now();
    this.inFlight++;
    try {
      const answer = await this.exchange(body);
      this.answered++;
      this.latencies.push(performance.now() - before);
      return answer;
    } finally {
      this.inFlight--;
    }
  }

  /** Asks it to let go of everything, and waits for its end. */
  async close(): Promise<void> {
    this.agent.destroy();
    await this.ask("close");
    const { code, signal } = await this.exited;
    if (code !== 0) throw this.ended(code, signal);
  }

  private async exchange(body: Uint8Array): Promise<Answer> {
    const sent = request({
      host: "127.0.0.1",
      port: this.ready!.port,
      method: "POST",
      agent: this.agent,
      headers: { "content-length": body.byteLength },
    });
    sent.end(body);
    const [response] = await once(sent, "response");
    const parts: Buffer[] = [];
    for await (const part of response) parts.push(part);
    const bytes = Uint8Array.from(Buffer.concat(parts));
    if (response.statusCode !== 200) throw new Error(`Worker ${this.number}: ${Buffer.from(bytes)}`);
    return {
      output: new Float32Array(bytes.buffer, 0, bytes.length >> 2),
      previous: BigInt(response.headers["x-previous-count"]),
      version: String(response.headers["x-weights-version"]),
    };
  }

  private settle(message: { id: number; value?: unknown; error?: string }): void {
    const asked = this.asked.get(message.id);
    this.asked.delete(message.id);
    if (message.error === undefined) asked?.resolve(message.value as never);
    else asked?.reject(new Error(`Worker ${this.number}: ${message.error}`));
  }

  private ended(code: number | null, signal: string | null): Error {
    return new Error(`Worker ${this.number} (pid ${this.pid}) ended with ${signal ?? code}.`);
  }
}
