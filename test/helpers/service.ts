// A stand-in for systemd, and processes that run as a service of it.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { type NativeFd, native } from "../../dist/lib/native.js";
import { startChild } from "./child.js";
import { endAfterOwners } from "./leaks.js";
import { folder } from "./sharing.js";
import type { VersionFacts } from "./survival.js";

type Fields = Record<string, string>;
type Told = { event: "notified" | "done" | "ready"; fields?: Fields; stored: string[] };

const programs = path.join(__dirname, "../children");

export class Manager {
  /** What it was told, from first to last. */
  readonly messages: Fields[] = [];
  /** The names of what it has in store, the newest first. */
  stored: string[] = [];
  private readonly process: ChildProcess;
  private readonly ended: Promise<unknown>;
  private readonly news = new Set<() => void>();
  ready = false;
  private answers = 0;
  private stderr = "";

  constructor(
    readonly address: string,
    private readonly control: string,
    private readonly limit: number,
  ) {
    this.process = spawn("python3", [
      path.join(programs, "service-manager.py"),
      address,
      control,
      `${limit}`,
    ]);
    this.ended = once(this.process, "close");
    this.process.stderr!.on("data", (text) => {
      this.stderr += text;
    });
    createInterface({ input: this.process.stdout! }).on("line", (line) => this.hear(JSON.parse(line)));
    void this.ended.then(() => this.tell());
  }

  /** What a service of it finds in its environment; `limit` is told, as systemd does from version 254 on. */
  get env(): NodeJS.ProcessEnv {
    return { NOTIFY_SOCKET: this.address, FDSTORE: `${this.limit}`, SYSTEMD_EXEC_PID: undefined };
  }

  /** Starts a program as the service. */
  get through(): string[] {
    return ["python3", path.join(programs, "service.py"), this.control];
  }

  /** Resolves when what it has heard and has satisfies the condition. */
  async until(condition: (manager: Manager) => boolean): Promise<void> {
    while (!condition(this)) {
      if (this.process.exitCode !== null) throw new Error(`the service manager ended: ${this.stderr}`);
      await new Promise<void>((resolve) => this.news.add(resolve));
    }
  }

  async order(order: "listen" | "pause" | "resume" | "swap" | "clear", details: object = {}): Promise<void> {
    const answered = this.answers + 1;
    this.process.stdin!.write(`${JSON.stringify({ order, ...details })}\n`);
    await this.until(() => this.answers >= answered);
  }

  /** The names of what it has in store, after all that was sent before. */
  async look(): Promise<string[]> {
    const barrier = this.messages.length;
    native.notify(this.address, Buffer.from("LOOK=1"));
    await this.until(({ messages }) => messages.slice(barrier).some(({ LOOK }) => LOOK === "1"));
    this.messages.splice(
      this.messages.findIndex(({ LOOK }) => LOOK === "1"),
      1,
    );
    return this.stored;
  }

  /** Their names, when so many descriptors are stored. */
  async holding(count: number): Promise<string[]> {
    await this.until(({ stored }) => stored.length === count);
    return this.stored;
  }

  has(fields: Fields): boolean {
    return this.messages.some((message) =>
      Object.entries(fields).every(([name, value]) => message[name] === value),
    );
  }

  /** Puts something there that no owner of this test has sent. */
  async put(name: string, fd: NativeFd): Promise<void> {
    native.notify(this.address, Buffer.from(`FDSTORE=1\nFDNAME=${name}\nFDPOLL=0`), [fd]);
    await this.until(({ stored }) => stored.includes(name));
  }

  async end(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.ended;
  }

  private hear({ event, fields, stored }: Told): void {
    this.stored = stored;
    if (event === "notified") this.messages.push(fields!);
    else if (event === "done") this.answers++;
    else this.ready = true;
    this.tell();
  }

  private tell(): void {
    const waiting = [...this.news];
    this.news.clear();
    for (const resolve of waiting) resolve();
  }
}

let managers = 0;

/** A service manager that lets its service store so many descriptors. `abstract`: told at a socket without a file. */
export async function startManager({ limit = 16, abstract = false } = {}): Promise<Manager> {
  const home = path.join(folder, `manager${managers++}`);
  mkdirSync(home);
  const address = abstract ? `@${home}` : path.join(home, "notify");
  const manager = new Manager(address, path.join(home, "control"), limit);
  endAfterOwners(() => manager.end());
  await manager.until(({ ready }) => ready);
  return manager;
}

/** An owner as a service, to be killed. */
export async function startService(manager: Manager, socket: string, options: object = {}, env: object = {}) {
  const child = startChild("owner.cjs", { ...manager.env, ...env }, manager.through);
  await child.call("listen", { socket, ...options });
  return {
    child,
    load: (name: string, source: unknown, load?: object) =>
      child.call<VersionFacts>("load", name, source, load),
  };
}
