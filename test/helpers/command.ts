// The command `cuda-ipc`, as a real process.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { afterEach } from "vitest";

const main = path.join(__dirname, "../../dist/lib/cli/main.js");

/** Runs a Python program between this process and a terminal of its own, which is how the command sees a terminal. */
const onTerminal = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export class RunningCommand {
  stdout = "";
  stderr = "";
  readonly ended: Promise<Ended>;
  private readonly process: ChildProcess;

  constructor(args: readonly string[], { env = {}, terminal = false, through = [] }: CommandOptions) {
    const node = [...through, process.execPath, main, ...args];
    const [program, ...rest] = terminal ? ["python3", "-c", onTerminal, ...node] : node;
    this.process = spawn(program!, rest, {
      env: { ...process.env, NODE_OPTIONS: "", ...env },
      stdio: "pipe",
    });
    this.process.stdout!.setEncoding("utf8").on("data", (text) => {
      this.stdout += text;
    });
    this.process.stderr!.setEncoding("utf8").on("data", (text) => {
      this.stderr += text;
    });
    this.ended = once(this.process, "close").then(([code, signal]) => ({
      ...{ code, signal, stdout: this.stdout, stderr: this.stderr },
    }));
  }

  get pid(): number {
    return this.process.pid!;
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  /** Whoever reads its standard output goes, as `head` does when it has seen enough. */
  stopReading(): void {
    this.process.stdout!.destroy();
  }

  /** Keys pressed at its terminal. */
  type(keys: string): void {
    this.process.stdin!.write(keys);
  }

  /** Resolves when standard output has the text; rejects when the command ends without it. */
  async until(text: string): Promise<void> {
    await this.untilSaid("stdout", text);
  }

  /** The same of standard error. */
  async untilError(text: string): Promise<void> {
    await this.untilSaid("stderr", text);
  }

  private async untilSaid(where: "stdout" | "stderr", text: string): Promise<void> {
    const ended = this.ended.then(({ code, stdout, stderr }) => {
      if (!this[where].includes(text)) {
        throw new Error(`ended with ${code} before "${text}":\n${stdout}${stderr}`);
      }
    });
    while (!this[where].includes(text)) await Promise.race([once(this.process[where]!, "data"), ended]);
  }
}

interface CommandOptions {
  env?: NodeJS.ProcessEnv;
  terminal?: boolean;
  /** A command line that ends by running the one appended to it. */
  through?: readonly string[];
}

const running: RunningCommand[] = [];

/** Starts the command; whatever is left of it is killed after the test. */
export function startCommand(args: readonly string[], options: CommandOptions = {}): RunningCommand {
  const command = new RunningCommand(args, options);
  running.push(command);
  return command;
}

export function runCommand(...args: string[]): Promise<Ended> {
  return startCommand(args).ended;
}

afterEach(async () => {
  for (const command of running.splice(0)) {
    command.kill("SIGKILL");
    await command.ended;
  }
});
