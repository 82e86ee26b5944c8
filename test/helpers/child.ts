import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { afterEach } from "vitest";

interface Reply {
  id: number;
  value?: unknown;
  error?: { code: string; message: string };
}

/** The error of a command that failed in a child. */
export class ChildError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** A real process that runs commands of test/children/<script>, one message each. */
export class Child {
  readonly process: ChildProcess;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  stderr = "";
  private next = 0;
  private readonly waiting = new Map<number, { resolve(value: never): void; reject(error: Error): void }>();
  private readonly events: { event: string; value: unknown }[] = [];
  private readonly listeners = new Set<() => void>();

  constructor(script: string, env: NodeJS.ProcessEnv = {}) {
    this.process = fork(path.join(__dirname, "../children", script), {
      env: { ...process.env, ...env, NODE_OPTIONS: "" },
      execArgv: ["--expose-gc"],
      stdio: ["ignore", "inherit", "pipe", "ipc"],
      serialization: "advanced",
    });
    this.process.stderr!.on("data", (chunk) => {
      this.stderr += chunk;
    });
    this.process.on("message", (message: Reply | { event: string; value: unknown }) => this.receive(message));
    this.exited = once(this.process, "exit").then(([code, signal]) => {
      for (const { reject } of this.waiting.values()) {
        reject(new Error(`child ended with ${code ?? signal}: ${this.stderr}`));
      }
      this.waiting.clear();
      return { code, signal };
    });
  }

  get pid(): number {
    return this.process.pid!;
  }

  call<T = unknown>(command: string, ...values: unknown[]): Promise<T> {
    const id = this.next++;
    return new Promise<T>((resolve, reject) => {
      this.waiting.set(id, { resolve: resolve as (value: never) => void, reject });
      this.process.send({ id, command, values });
    });
  }

  /** The next event of that name that no call of this has returned yet. */
  async event<T = unknown>(name: string): Promise<T> {
    for (;;) {
      const index = this.events.findIndex(({ event }) => event === name);
      if (index >= 0) return this.events.splice(index, 1)[0]!.value as T;
      await new Promise<void>((resolve) => {
        const listener = () => {
          this.listeners.delete(listener);
          resolve();
        };
        this.listeners.add(listener);
      });
    }
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    this.process.kill(signal);
  }

  /** Lets the child end by itself: it has nothing left that keeps it alive. */
  async finish(): Promise<number | null> {
    if (this.process.connected) this.process.disconnect();
    return (await this.exited).code;
  }

  private receive(message: Reply | { event: string; value: unknown }): void {
    if ("event" in message) {
      this.events.push(message);
      for (const listener of this.listeners) listener();
      return;
    }
    const waiting = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (message.error !== undefined)
      waiting?.reject(new ChildError(message.error.code, message.error.message));
    else waiting?.resolve(message.value as never);
  }
}

const children: Child[] = [];

/** Starts a child; whatever is left of it is killed after the test. */
export function startChild(script = "worker.cjs", env: NodeJS.ProcessEnv = {}): Child {
  const child = new Child(script, env);
  children.push(child);
  return child;
}

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill("SIGKILL");
    await child.exited;
  }
});
