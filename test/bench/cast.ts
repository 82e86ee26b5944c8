import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { writeFileSync } from "node:fs";
import net, { type Socket } from "node:net";
import path from "node:path";
import { createInterface } from "node:readline";

/** Loaded into every process of a benchmark: those of the cast say that they are there, and a worker answers nothing. */
const preload = `
const net = require("node:net");
const name = require("node:path").basename(process.argv[1] ?? "", ".js");
if (["process", "owner", "worker"].includes(name)) {
  const socket = net.connect(process.env.CAST_SOCKET).on("error", () => {});
  socket.write(name + " " + process.pid + "\\n");
  if (name !== "worker") socket.unref();
}
if (name === "worker") {
  const { on } = process;
  process.on = (event, listener) => on.call(process, event, event === "message" ? () => {} : listener);
}
if (name === "suite") process.stderr.isTTY = true;
`;

export interface Actor {
  name: string;
  pid: number;
}

/** A benchmark that hangs in its first worker, and whose processes are known; their ends, too, are events. */
export class Cast {
  private readonly events = new EventEmitter();
  private readonly actors: Actor[] = [];
  private readonly living = new Set<Socket>();
  private server: net.Server | undefined;

  async start(folder: string, script: string, args: readonly string[]): Promise<ChildProcess> {
    const socket = path.join(folder, "cast.sock");
    const preloaded = path.join(folder, "preload.cjs");
    writeFileSync(preloaded, preload);
    this.server = net.createServer((actor) => this.enter(actor)).listen(socket);
    await once(this.server, "listening");
    return spawn(process.execPath, [path.join(__dirname, "../../dist/bench", script), ...args], {
      env: {
        ...process.env,
        TMPDIR: path.join(folder, "tmp"),
        NODE_OPTIONS: `--require ${preloaded}`,
        CAST_SOCKET: socket,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** Resolves when such a process is there. */
  async entered(name: string): Promise<Actor> {
    for (;;) {
      const found = this.actors.find((actor) => actor.name === name);
      if (found !== undefined) return found;
      await once(this.events, "change");
    }
  }

  /** Resolves when one of the processes has ended. */
  async left(): Promise<void> {
    const count = this.living.size;
    while (this.living.size >= count) await once(this.events, "change");
  }

  /** Resolves when every process has ended. */
  async empty(): Promise<void> {
    while (this.living.size > 0) await once(this.events, "change");
    this.server!.close();
  }

  private enter(socket: Socket): void {
    this.living.add(socket);
    createInterface({ input: socket }).on("line", (line) => {
      const [name, pid] = line.split(" ");
      this.actors.push({ name: name!, pid: Number(pid) });
      this.events.emit("change");
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.living.delete(socket);
      this.events.emit("change");
    });
  }
}
