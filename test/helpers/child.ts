import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { afterEach } from "vitest";

interface CommandError {
  code: string;
  message: string;
  cudaName?: string;
  details?: Record<string, unknown>;
}

interface Reply {
  id: number;
  value?: unknown;
  error?: CommandError;
}

/** The error of a command that failed in a child. */
export class ChildError extends Error {
  readonly code: string;
  readonly cudaName: string | undefined;
  readonly details: Record<string, unknown> | undefined;

  constructor({ code, message, cudaName, details }: CommandError) {
    super(message);
    this.code = code;
    this.cudaName = cudaName;
    this.details = details;
  }
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A real process that runs commands of test/children/<script>, one message each. */
export class Child {
  readonly process: ChildProcess;
  /** Resolves when the process has ended and all that it printed is here. */
  readonly exited: Promise<Exit>;
  exit: Exit | undefined;
  stderr = "";
  /** The test means this process to die: by its own `kill()`, or by what it has it do. */
  mayDie = false;
  private stopped = false;
  private next = 0;
  private readonly waiting = new Map<number, { resolve(value: never): void; reject(error: Error): void }>();
  /** What the process has told of and no call of `event` has returned yet. */
  readonly events: { event: string; value: unknown }[] = [];
  private readonly listeners = new Set<() => void>();

  /** `through`: a command line that ends by running the one appended to it, such as `prlimit --nofile=64`. */
  constructor(
    readonly script: string,
    readonly env: NodeJS.ProcessEnv = {},
    through: readonly string[] = [],
  ) {
    const command = [
      ...through,
      process.execPath,
      "--expose-gc",
      path.join(__dirname, "../children", script),
    ];
    this.process = spawn(command[0]!, command.slice(1), {
      env: { ...process.env, ...env, NODE_OPTIONS: "" },
      stdio: ["ignore", "inherit", "pipe", "ipc"],
      serialization: "advanced",
    });
    this.process.stderr!.on("data", (chunk) => {
      this.stderr += chunk;
    });
    this.process.on("message", (message: Reply | { event: string; value: unknown }) => this.receive(message));
    // Not its "close" event, which does not come after a disconnect().
    const closed = once(this.process.stderr!, "close");
    this.exited = once(this.process, "exit").then(async ([code, signal]) => {
      await closed;
      this.exit = { code, signal };
      for (const { reject } of this.waiting.values()) reject(this.ended());
      this.waiting.clear();
      for (const listener of this.listeners) listener();
      return { code, signal };
    });
  }

  get pid(): number {
    return this.process.pid!;
  }

  call<T = unknown>(command: string, ...values: unknown[]): Promise<T> {
    const id = this.next++;
    return new Promise<T>((resolve, reject) => {
      if (this.exit !== undefined) {
        reject(this.ended());
        return;
      }
      this.waiting.set(id, { resolve: resolve as (value: never) => void, reject });
      this.process.send({ id, command, values }, (error) => {
        // The process is going: its end tells more than a closed pipe.
        if (error !== null) void this.exited.then(() => reject(this.ended()));
      });
    });
  }

  /** The next event of that name that no call of this has returned yet. */
  async event<T = unknown>(name: string): Promise<T> {
    for (;;) {
      const index = this.events.findIndex(({ event }) => event === name);
      if (index >= 0) return this.events.splice(index, 1)[0]!.value as T;
      if (this.exit !== undefined) throw this.ended();
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
    this.mayDie = true;
    this.process.kill(signal);
  }

  /** Stops the process (SIGSTOP) until `resume()`. */
  stop(): void {
    this.stopped = true;
    this.process.kill("SIGSTOP");
  }

  /** It stops itself: what is still to come is `resume()`. */
  stopsItself(): void {
    this.stopped = true;
  }

  resume(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.process.kill("SIGCONT");
  }

  /** Lets the child end by itself: it has nothing left that keeps it alive. */
  async finish(): Promise<number | null> {
    this.mayDie = true;
    if (this.process.connected) this.process.disconnect();
    return (await this.exited).code;
  }

  private ended(): Error {
    return new Error(`child ended with ${this.exit?.code ?? this.exit?.signal}: ${this.stderr}`);
  }

  private receive(message: Reply | { event: string; value: unknown }): void {
    if ("event" in message) {
      this.events.push(message);
      for (const listener of this.listeners) listener();
      return;
    }
    const waiting = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (message.error !== undefined) waiting?.reject(new ChildError(message.error));
    else waiting?.resolve(message.value as never);
  }
}

const children: Child[] = [];

/** Starts a child; whatever is left of it is killed after the test. */
export function startChild(
  script = "worker.cjs",
  env: NodeJS.ProcessEnv = {},
  through: readonly string[] = [],
): Child {
  const child = new Child(script, env, through);
  children.push(child);
  return child;
}

/** The test's children so far. */
export function startedChildren(): readonly Child[] {
  return children;
}

/** Kills what is left of the test's children; those that had died although no test meant them to. */
export async function endChildren(): Promise<Child[]> {
  const died: Child[] = [];
  for (const child of children.splice(0)) {
    if (child.exit !== undefined && !child.mayDie) died.push(child);
    child.kill("SIGKILL");
    await child.exited;
  }
  return died;
}

afterEach(async () => {
  for (const child of await endChildren()) {
    throw new Error(`a child died: ${child.exit?.code ?? child.exit?.signal} ${child.stderr}`);
  }
});
