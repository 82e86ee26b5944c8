// A process whose driver library is one that tells what is called.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import type { Readable, Writable } from "node:stream";
import { afterEach } from "vitest";

/** Compiles test/native/recording_libcuda.cc into the folder. */
export function compileRecordingDriver(folder: string): string {
  const library = path.join(folder, "libcuda.so.1");
  const source = path.join(__dirname, "../native/recording_libcuda.cc");
  const options = ["-std=c++17", "-shared", "-fPIC", "-pthread"];
  execFileSync(process.env.CXX || "g++", [...options, "-o", library, source]);
  return library;
}

export interface Call {
  pid: number;
  name: string;
  argument: number;
  /** Begun, or done. */
  direction: "<" | ">";
}

/** Ends when its standard input does. */
export class RecordedProcess {
  readonly process: ChildProcess;
  readonly ended: Promise<{
    code: number | null;
    signal: NodeJS.Signals | null;
    stdout: string;
    stderr: string;
  }>;
  private record = "";
  private readonly output = { stdout: "", stderr: "" };

  constructor(command: readonly string[], env: NodeJS.ProcessEnv) {
    const [program, ...args] = command;
    this.process = spawn(program!, args, { env, stdio: ["pipe", "pipe", "pipe", "pipe", "pipe"] });
    // A process that has ended reads nothing.
    this.process.stdin!.on("error", () => {});
    for (const name of ["stdout", "stderr"] as const) {
      this.process[name]!.setEncoding("utf8").on("data", (text) => {
        this.output[name] += text;
      });
    }
    this.recording.setEncoding("utf8").on("data", (text) => {
      this.record += text;
    });
    this.ended = once(this.process, "close").then(([code, signal]) => ({ code, signal, ...this.output }));
  }

  get calls(): Call[] {
    const lines = this.record.split("\n").slice(0, -1);
    return lines.map((line) => {
      const [pid, name, argument, direction] = line.split(" ") as [string, string, string, "<" | ">"];
      return { pid: Number(pid), name, argument: Number(argument), direction };
    });
  }

  /** Waits until the driver's function has been called and, if asked, has returned. */
  async until(name: string, direction: "<" | ">"): Promise<Call> {
    for (;;) {
      const found = this.calls.find((call) => call.name === name && call.direction === direction);
      if (found !== undefined) return found;
      if (this.recording.readableEnded)
        throw new Error(`Ended without ${name}: ${JSON.stringify(this.output)}`);
      const heard = new AbortController();
      const { signal } = heard;
      await Promise.race([once(this.recording, "data", { signal }), once(this.recording, "end", { signal })]);
      heard.abort();
    }
  }

  /** Waits until the program is running, which it says, and the function named by RECORDING_STOP has stopped. */
  async untilStopped(): Promise<void> {
    this.process.stdin!.write("running\n");
    while (this.output.stdout === "") await once(this.process.stdout!, "data");
    (this.process.stdio[4] as Writable).write("x");
    await this.until("stopped", "<");
  }

  /** Ends its standard input, and waits for its end. */
  finish() {
    this.process.stdin!.end();
    return this.ended;
  }

  private get recording(): Readable {
    return this.process.stdio[3] as Readable;
  }
}

const running: RecordedProcess[] = [];

export function startRecorded(command: readonly string[], env: NodeJS.ProcessEnv): RecordedProcess {
  const started = new RecordedProcess(command, env);
  running.push(started);
  return started;
}

afterEach(async () => {
  for (const { process, ended } of running.splice(0)) {
    process.kill("SIGKILL");
    await ended;
  }
});
