import type { ChildProcess } from "node:child_process";
import { fstatSync, readSync } from "node:fs";
import path from "node:path";
import { CudaIpcError } from "../errors.js";
import { type NativeFd, native } from "../native.js";
import { jobChecks, loaderChecks } from "../wire/check.js";
import { Connection } from "../wire/connection.js";
import type { JobMessage, LoaderMessage, LoaderMessages } from "../wire/loader-messages.js";
import { type Ending, loaderDied } from "./died.js";
import { errorOf } from "./failure.js";

const program = path.join(__dirname, "main.js");
/** Milliseconds in which a process that has no job any more ends; CUDA takes a part of a second. Then it is killed. */
const exitGrace = 5_000;
const keptStderr = 4096;
const endsOfConnection = new Set(["ERR_CUDA_IPC_CONNECTION", "ERR_CUDA_IPC_CONNECTION_LOST"]);

export type Answer = LoaderMessages["loaded" | "verified"];

export interface RunOptions {
  onProgress?: (progress: LoaderMessages["progress"]) => void;
  signal?: AbortSignal;
}

/** What answers a job. */
const answers = { load: "loaded", verify: "verified" } as const;
type AnswerTo<J extends JobMessage> = LoaderMessages[(typeof answers)[J["type"]]];

/**
 * A process that works on the device in this one's stead: it does one job, hands over descriptors and ends. All that
 * it allocates is its own until the answer is here, so whatever ends it before leaves nothing behind; it is ended
 * with this process, too.
 */
export class LoaderProcess {
  /** Those that have answered and not ended yet: their contexts still take device memory. */
  private static readonly leaving = new Set<Promise<unknown>>();

  /** Resolves when the process is gone, with everything that it held. */
  readonly ended: Promise<Ending>;
  private readonly child: ChildProcess;
  private readonly connection: Connection;
  private readonly answer: Promise<{ message: Answer; fds: NativeFd[] }>;
  private resolve!: (answer: { message: Answer; fds: NativeFd[] }) => void;
  private reject!: (error: unknown) => void;
  private failure: CudaIpcError | undefined;
  private onProgress: RunOptions["onProgress"];
  /** A file in memory and no pipe: Node loses a pipe's descriptors when it cannot start a process for want of more. */
  private readonly stderr: NativeFd;

  /** Starts the process, which brings the driver up before it has a job. */
  constructor() {
    const [channel, end] = native.socketPair();
    try {
      this.stderr = native.createMemfd("cuda-ipc loader's stderr", 0);
    } catch (error) {
      channel.close();
      end.close();
      throw error;
    }
    try {
      // Loaded here: an importer that loads nothing has no use for it.
      const { spawn } = require("node:child_process") as typeof import("node:child_process");
      this.child = spawn(process.execPath, [program], {
        stdio: ["ignore", "ignore", this.stderr.fd, end.fd],
        // Options for this process's Node are not meant for that one: an inspector's port, modules to preload.
        env: { ...process.env, CUDA_IPC_DRIVER: native.chosenProvider(), NODE_OPTIONS: "" },
      });
    } catch (error) {
      channel.close();
      this.stderr.close();
      throw loaderDied({ error: error as Error });
    } finally {
      end.close();
    }
    this.ended = this.watch();
    this.answer = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // Of the death of a process that has no job yet, its job hears.
    this.answer.catch(() => {});
    this.connection = new Connection({
      channel,
      start: native.startChannel,
      incoming: loaderChecks,
      outgoing: jobChecks,
      onMessage: (message, fds) => this.receive(message as LoaderMessage, fds),
      onClose: (error) => this.disconnected(error),
    });
  }

  /** Settles when every process whose answer has come is gone. */
  static async settled(): Promise<void> {
    await Promise.all(LoaderProcess.leaving);
  }

  /**
   * Gives the process its one job. The answer's descriptors are the caller's. When this rejects, with the loader's
   * error, ERR_CUDA_IPC_LOADER_DIED or the signal's reason, the process is gone. The descriptors of the job stay the
   * caller's.
   */
  async run<J extends JobMessage>(
    job: Omit<J, "fds">,
    fds: NativeFd[],
    { onProgress, signal }: RunOptions = {},
  ): Promise<{ message: AnswerTo<J>; fds: NativeFd[] }> {
    this.onProgress = onProgress;
    const abort = () => this.kill();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      signal?.throwIfAborted();
      await LoaderProcess.settled();
      this.connection.send(job as { type: string }, fds);
      const { message, fds: received } = await this.answer;
      if (message.type === answers[job.type]) return { message: message as AnswerTo<J>, fds: received };
      for (const fd of received) fd.close();
      throw violation(`The loader answered ${job.type} with ${message.type}.`);
    } catch (error) {
      await this.abandon();
      throw signal?.aborted ? signal.reason : error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Ends the process, whatever it does, and waits until it is gone. */
  async abandon(): Promise<void> {
    this.kill();
    await this.ended;
  }

  private kill(): void {
    this.child.kill("SIGKILL");
    this.connection.close();
  }

  private watch(): Promise<Ending> {
    const { child } = this;
    const ending = new Promise<Ending>((resolve) => {
      child.on("error", (error) => {
        // Without a pid it was never started; other errors are of signals that could not be sent.
        if (child.pid === undefined) resolve({ error });
      });
      child.on("exit", (code, signal) => resolve({ pid: child.pid, code, signal, stderr: this.lastWords() }));
    });
    return ending.finally(() => this.stderr.close());
  }

  private lastWords(): string {
    const { size } = fstatSync(this.stderr.fd);
    const words = Buffer.alloc(Math.min(size, keptStderr));
    const length = readSync(this.stderr.fd, words, 0, words.length, size - words.length);
    return words.toString("utf8", 0, length);
  }

  private receive(message: LoaderMessage, fds: NativeFd[]): void {
    switch (message.type) {
      case "progress":
        // Outside of the decoder: what a listener throws is not the loader's fault.
        queueMicrotask(() => this.onProgress?.(message));
        return;
      case "failed":
        this.failure = errorOf(message);
        this.connection.close();
        return;
      default:
        this.receiveAnswer(message, fds);
    }
  }

  private receiveAnswer(message: Answer, fds: NativeFd[]): void {
    const described = message.type === "loaded" ? message.slabs.length : 0;
    if (described !== fds.length) {
      for (const fd of fds) fd.close();
      throw violation(`The loader described ${described} slabs and sent ${fds.length} descriptors.`);
    }
    const leaving: Promise<unknown> = this.ended.then(() => LoaderProcess.leaving.delete(leaving));
    LoaderProcess.leaving.add(leaving);
    this.resolve({ message, fds });
    // The end of the connection tells the loader that everything has arrived.
    this.connection.close();
  }

  private disconnected(error: CudaIpcError | undefined): void {
    // A process that dies with a job unread resets the connection: its end says more than that.
    const broken = error !== undefined && !endsOfConnection.has(error.code) ? error : undefined;
    const timer = setTimeout(() => this.child.kill("SIGKILL"), broken === undefined ? exitGrace : 0);
    void this.ended.then((ending) => {
      clearTimeout(timer);
      // Nothing happens here when there has been an answer.
      this.reject(this.failure ?? broken ?? loaderDied(ending));
    });
  }
}

function violation(message: string): CudaIpcError {
  return new CudaIpcError("ERR_CUDA_IPC_PROTOCOL", message);
}
