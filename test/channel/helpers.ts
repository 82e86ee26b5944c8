import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { onTestFinished } from "vitest";
import {
  type ChannelEvents,
  type NativeChannel,
  type NativeFd,
  type NativeListener,
  native,
} from "../../dist/lib/native.js";

/** A path for a socket in a directory that goes with the test. */
export function socketPath(): string {
  const directory = mkdtempSync(path.join(tmpdir(), "cuda-ipc-channel-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return path.join(directory, "socket");
}

/** Settles when `condition` holds, looked at whenever `changed()` is called. */
export class Changes {
  #waiting: { condition: () => boolean; resolve: () => void }[] = [];

  changed(): void {
    this.#waiting = this.#waiting.filter(({ condition, resolve }) => {
      if (!condition()) return true;
      resolve();
      return false;
    });
  }

  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ condition, resolve });
      this.changed();
    });
  }
}

/** A channel's events, noted in order. */
export class Recorder extends Changes implements ChannelEvents {
  readonly chunks: Buffer[] = [];
  readonly fds: NativeFd[] = [];
  readonly log: string[] = [];
  closes: (Error | null)[] = [];
  received = 0;

  onData(bytes: Buffer, fds: NativeFd[]): void {
    this.chunks.push(bytes);
    this.fds.push(...fds);
    this.received += bytes.length;
    this.log.push("data");
    this.changed();
  }
  onDrain(): void {
    this.log.push("drain");
    this.changed();
  }
  onClose(error: Error | null): void {
    this.closes.push(error);
    this.log.push("close");
    this.changed();
  }

  bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
  closed(): Promise<void> {
    return this.until(() => this.closes.length > 0);
  }
  closeFds(): void {
    for (const fd of this.fds.splice(0)) fd.close();
  }
}

export interface Server {
  listener: NativeListener;
  accepted: NativeChannel[];
  errors: Error[];
  changes: Changes;
}

/** Listens, closed with everything that connected when the test ends. */
export function serve(socket: string, onChannel?: (channel: NativeChannel) => void, backlog = 511): Server {
  const accepted: NativeChannel[] = [];
  const errors: Error[] = [];
  const changes = new Changes();
  const listener = native.listen(
    socket,
    { mode: 0o600, backlog },
    (channel) => {
      accepted.push(channel);
      onChannel?.(channel);
      changes.changed();
    },
    (error) => {
      errors.push(error);
      changes.changed();
    },
  );
  listener.ref();
  onTestFinished(() => {
    listener.close();
    for (const channel of accepted) channel.close();
  });
  return { listener, accepted, errors, changes };
}

export interface End {
  channel: NativeChannel;
  events: Recorder;
}

/** Two started ends of one connection. */
export async function connectedPair(): Promise<[near: End, far: End]> {
  const socket = socketPath();
  const server = serve(socket);
  const near = await native.connect(socket);
  onTestFinished(() => near.close());
  await server.changes.until(() => server.accepted.length === 1);
  const far = server.accepted[0] as NativeChannel;
  return [started(near), started(far)];
}

/** Starts a channel; `onData` instead of noting what comes. */
export function started(channel: NativeChannel, onData?: ChannelEvents["onData"]): End {
  const events = new Recorder();
  if (onData !== undefined) events.onData = onData;
  native.startChannel(channel, events);
  channel.ref();
  return { channel, events };
}

export function openFds(): number {
  return readdirSync("/proc/self/fd").length;
}

export const childScript = (name: string) => path.join(__dirname, "children", `${name}.cjs`);

export interface Child {
  process: ChildProcess;
  /** Lines printed so far. */
  lines: string[];
  changes: Changes;
  line(text: string): Promise<void>;
  exit: Promise<{ code: number | null; signal: string | null; errors: string }>;
}

/** A real process running one of the scripts in children/; killed when the test ends. */
export function child(
  name: string,
  args: string[] = [],
  options: { prefix?: string[]; node?: string[] } = {},
): Child {
  const [command = process.execPath, ...rest] = [
    ...(options.prefix ?? []),
    process.execPath,
    ...(options.node ?? []),
    childScript(name),
    ...args,
  ];
  const spawned = spawn(command, rest, { stdio: ["pipe", "pipe", "pipe"] });
  const lines: string[] = [];
  const changes = new Changes();
  let text = "";
  let errors = "";
  spawned.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
    const complete = text.split("\n");
    text = complete.pop() ?? "";
    lines.push(...complete);
    changes.changed();
  });
  spawned.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    errors += chunk;
  });
  const exit = once(spawned, "close").then(([code, signal]) => ({ code, signal, errors }));
  onTestFinished(() => {
    spawned.kill("SIGKILL");
  });
  return {
    process: spawned,
    lines,
    changes,
    exit,
    async line(wanted) {
      const seen = changes.until(() => lines.includes(wanted));
      const ended = exit.then((result) => {
        if (!lines.includes(wanted))
          throw new Error(`The child ended without "${wanted}": ${JSON.stringify(result)}`);
      });
      await Promise.race([seen, ended]);
    },
  };
}
