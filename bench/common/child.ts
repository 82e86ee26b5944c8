import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { Commands } from "./serve.js";

interface Reply {
  id: number;
  value?: unknown;
  error?: string;
}

type Value<Command extends Commands[string]> = Awaited<ReturnType<Command>>;

/** A real process of plain node that runs the commands of a compiled file. `Of` is the type of those commands. */
export class Child<Of extends Commands> {
  private readonly process: ChildProcess;
  private readonly waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  private readonly exited: Promise<string>;
  private next = 0;

  constructor(file: string) {
    // Structured clone carries bigint; options of the parent, such as --inspect, are not for its children.
    this.process = fork(file, { serialization: "advanced", execArgv: [] });
    this.process.on("message", (reply: Reply) => this.settle(reply));
    this.exited = once(this.process, "exit").then(([code, signal]) => {
      const how = String(signal ?? code);
      for (const { reject } of this.waiting.values()) reject(new Error(`The process ended with ${how}.`));
      this.waiting.clear();
      return how;
    });
  }

  get pid(): number {
    return this.process.pid!;
  }

  call<Name extends keyof Of & string>(
    name: Name,
    ...values: Parameters<Of[Name]>
  ): Promise<Value<Of[Name]>> {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      // Without a callback, what cannot be sent to a process that has ended would be an error that nobody handles.
      this.process.send({ id, command: name, values }, (error) => {
        if (error !== null)
          this.settle({ id, error: `The process cannot be asked any more: ${error.message}` });
      });
    });
  }

  /** Lets it end by itself, and says how it did: "0", or the name of a signal. */
  async end(): Promise<string> {
    if (this.process.connected) this.process.disconnect();
    return this.exited;
  }

  /** Resolves when it has ended for another reason, such as a signal. */
  ended(): Promise<string> {
    return this.exited;
  }

  kill(): void {
    this.process.kill("SIGKILL");
  }

  private settle({ id, value, error }: Reply): void {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(new Error(error));
  }
}
