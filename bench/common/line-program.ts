import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** A program that takes commands as lines on standard input and prints JSON lines. */
export class LineProgram {
  private readonly process: ChildProcessWithoutNullStreams;
  private readonly lines: AsyncIterator<string>;
  private readonly exited: Promise<string>;
  private errors = "";

  constructor(
    private readonly file: string,
    args: readonly string[] = [],
  ) {
    this.process = spawn(file, args, { stdio: "pipe" });
    this.process.stderr.on("data", (chunk) => {
      this.errors += chunk;
    });
    this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
    this.exited = once(this.process, "close").then(([code, signal]) => String(signal ?? code));
  }

  send(line: string): void {
    this.process.stdin.write(`${line}\n`);
  }

  async read<T>(): Promise<T> {
    const { value, done } = await this.lines.next();
    if (!done) return JSON.parse(value) as T;
    throw new Error(`${this.file} ended with ${await this.exited}: ${this.errors.trim()}`);
  }

  /** Ends its input and waits for it. */
  async end(): Promise<void> {
    this.process.stdin.end();
    const how = await this.exited;
    if (how !== "0") throw new Error(`${this.file} ended with ${how}: ${this.errors.trim()}`);
  }

  kill(): void {
    this.process.kill("SIGKILL");
  }
}
