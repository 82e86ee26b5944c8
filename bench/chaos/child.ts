import { type ChildProcess, fork } from "node:child_process";
import { EventEmitter, once } from "node:events";
import type { Ask, Commands, Note, Told } from "./messages.js";
import { patience } from "./patience.js";

type Value<Command extends Commands[string]> = Awaited<ReturnType<Command>>;

interface ChildEvents {
  note: [Note];
  /** It ended, and neither a signal from here nor `end` was the reason. */
  died: [string];
}

/** How long anything asked of a process may take. */
const answerMs = 30_000;
const exitMs = 15_000;

/** A process of the run: asked, killed, stopped. `Of` is the type of its commands. */
export class Child<Of extends Commands> extends EventEmitter<ChildEvents> {
  /** When SIGKILL was sent. */
  killedAt: number | undefined;
  private ending = false;
  private stderr = "";
  private readonly process: ChildProcess;
  private readonly waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  private next = 0;
  private readonly gone: Promise<string>;
  /** When it said what of itself. */
  private readonly notes = new Map<string, number>();

  constructor(
    readonly name: string,
    file: string,
  ) {
    super();
    // Structured clone carries typed arrays; options of the parent, such as --inspect, are not for its children.
    this.process = fork(file, {
      serialization: "advanced",
      execArgv: [],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.process.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.stderr = (this.stderr + text).slice(-4000);
    });
    this.process.on("message", (told: Told) => this.receive(told));
    // What it said before its end is still read: only after that nothing more can come.
    const silent = once(this.process, "disconnect");
    const exited = once(this.process, "exit");
    this.gone = Promise.all([exited, silent]).then(([[code, signal]]) => this.ended(String(signal ?? code)));
  }

  get killed(): boolean {
    return this.killedAt !== undefined;
  }

  get pid(): number {
    return this.process.pid!;
  }

  call<Name extends keyof Of & string>(
    name: Name,
    ...values: Parameters<Of[Name]>
  ): Promise<Value<Of[Name]>> {
    const id = this.next++;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.process.send({ id, command: name, values } satisfies Ask, (error) => {
        // Its end is on its way, with a better reason.
        if (error !== null && this.process.exitCode === null && this.process.signalCode === null) return;
      });
    });
    return patience(answer, answerMs, `${this.name} to answer "${name}"`) as Promise<Value<Of[Name]>>;
  }

  /** Resolves when nothing of it is left. */
  async kill(): Promise<void> {
    this.killedAt = performance.now();
    this.process.kill("SIGKILL");
    await patience(this.gone, exitMs, `${this.name} to die of SIGKILL`);
  }

  /** Resolves when it has said that this happened to it, with the time of that in milliseconds. */
  whenNoted(name: string): Promise<number> {
    const noted = new Promise<number>((resolve) => {
      const look = () => {
        const time = this.notes.get(name);
        if (time === undefined) return;
        this.off("note", look);
        resolve(time);
      };
      this.on("note", look);
      look();
    });
    return patience(noted, answerMs, `${this.name} to be ${name}`);
  }

  stop(): void {
    this.process.kill("SIGSTOP");
  }

  continue(): void {
    this.process.kill("SIGCONT");
  }

  /** Lets it end by itself, and says how it did: "0", or the name of a signal. */
  async end(): Promise<string> {
    this.ending = true;
    if (this.process.connected) this.process.disconnect();
    return patience(this.gone, exitMs, `${this.name} to end by itself`);
  }

  /** For the end of a run that failed. */
  destroy(): void {
    this.ending = true;
    this.process.kill("SIGKILL");
  }

  private receive(told: Told): void {
    if ("note" in told) {
      this.notes.set(told.note, performance.now());
      this.emit("note", told);
      return;
    }
    const waiting = this.waiting.get(told.id);
    this.waiting.delete(told.id);
    if (told.error === undefined) waiting?.resolve(told.value);
    else waiting?.reject(Object.assign(new Error(told.error.message), { code: told.error.code }));
  }

  private ended(how: string): string {
    for (const { reject } of this.waiting.values()) reject(new Error(`${this.name} ended with ${how}.`));
    this.waiting.clear();
    if (!this.killed && !this.ending) this.emit("died", `${how} ${this.stderr.trim()}`.trim());
    return how;
  }
}
