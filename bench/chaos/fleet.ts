import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ownerStatus, writeSafetensors } from "../../lib/index.js";
import type { ObserverCommands } from "./actors/observer.js";
import type { OwnerCommands } from "./actors/owner.js";
import { Child } from "./child.js";
import { inputs, matrixOf, outputs, tensorName } from "./content.js";
import type { Findings } from "./findings.js";
import type { Log } from "./log.js";
import type { Commands, Surplus } from "./messages.js";
import { Hang, watchFor } from "./patience.js";
import { Slot, type Worker } from "./slot.js";
import type { Versions } from "./versions.js";

/** An owner, or a standby. */
export type Keeper = Child<OwnerCommands>;

const ownerProgram = path.join(__dirname, "actors", "owner.js");
const observerProgram = path.join(__dirname, "actors", "observer.js");

interface Parts {
  folder: string;
  workers: number;
  concurrency: number;
  findings: Findings;
  versions: Versions;
  log: Log;
}

/** All processes of a run. */
export class Fleet {
  readonly socket: string;
  readonly slots: Slot[];
  readonly observer: Child<ObserverCommands>;
  /** How long the last load took. */
  loadMs = 0;
  private present: Keeper | undefined;
  private second: Keeper | undefined;
  private keepers = 0;
  /** Whose recovery has been told of. */
  private recovered: Keeper | undefined;
  private alive = 0;
  private readonly all = new Set<Child<Commands>>();

  constructor(private readonly parts: Parts) {
    this.socket = path.join(parts.folder, "run", "owner.sock");
    this.observer = this.watched(new Child("observer", observerProgram));
    this.slots = Array.from(
      { length: parts.workers },
      (_, n) => new Slot(n + 1, this.socket, parts.concurrency, (worker) => this.watched(worker)),
    );
  }

  /** The owner of the moment. */
  get owner(): Keeper {
    return this.present!;
  }

  get standby(): Keeper {
    return this.second!;
  }

  /** An owner with a first version, its standby, and its workers. */
  async start(): Promise<void> {
    await this.startOwner();
    await this.startStandby();
    await this.load(undefined);
    await this.startWorkers(this.slots);
  }

  async startOwner(): Promise<void> {
    const owner = this.newKeeper();
    await owner.call("listen", this.socket);
    this.present = owner;
  }

  async startStandby(): Promise<void> {
    const standby = this.newKeeper();
    await standby.call("standby", this.socket);
    this.second = standby;
  }

  /** The owner is dead: its standby is the owner when this resolves, and another one stands by. */
  async failOver(): Promise<string> {
    const { standby, owner } = this;
    const time = (await standby.whenNoted("owner")) - owner.killedAt!;
    this.present = standby;
    await this.startStandby();
    return `${standby.name} took over ${Math.round(time)} ms after the kill`;
  }

  /** A process that listens, or stands by, when it is told to. */
  async newRunner(): Promise<Keeper> {
    const runner = this.newKeeper();
    await runner.call("ready");
    return runner;
  }

  /** The owner is dying: its standby and another process run for the socket. Resolves when one of them has it. */
  async race(runner: Keeper): Promise<void> {
    const { standby } = this;
    const started = runner.call("listenOrStandBy", this.socket);
    const won = (keeper: Keeper) => keeper.whenNoted("owner").then(() => keeper);
    const winner = await Promise.race([won(standby), won(runner)]);
    await started;
    this.present = winner;
    this.second = winner === runner ? standby : runner;
  }

  /** Another process becomes the owner, and the old one ends clean. */
  async handOver(): Promise<void> {
    const old = this.owner;
    const successor = this.newKeeper();
    await successor.call("takeOver", this.socket);
    this.present = successor;
    await old.whenNoted("handed over");
    await this.dismiss(old);
  }

  /** A hand-over in the middle of which one of both is killed. Whoever has the socket then is the owner. */
  async breakHandOver(victim: "owner" | "successor", afterMs: number): Promise<void> {
    const { owner: old, standby } = this;
    const successor = await this.newRunner();
    const taken = successor.call("takeOver", this.socket).catch(() => {});
    await delay(afterMs);
    await (victim === "owner" ? old : successor).kill();
    await taken;
    const left = [old, successor, standby].filter(({ killed }) => !killed);
    this.present = await this.whoListens(left);
    // One that has taken over may have been taken over from by the successor, which found it on the socket.
    const stands = this.present !== standby && (await standby.call("standsBy"));
    const idle = left.filter((keeper) => keeper !== this.present && !(stands && keeper === standby));
    await Promise.all(idle.map((keeper) => this.dismiss(keeper)));
    if (!stands) await this.startStandby();
  }

  /** Asks the owner on the socket. */
  private async whoListens(keepers: readonly Keeper[]): Promise<Keeper> {
    const found = await watchFor(async () => {
      try {
        const { pid } = await ownerStatus({ socket: this.socket, timeout: 1000 });
        return keepers.find((keeper) => keeper.pid === pid);
      } catch {
        return undefined;
      }
    }, 15_000);
    if (found === undefined)
      throw new Hang(`one of ${keepers.map(({ name }) => name).join(", ")} to be the owner`);
    return found;
  }

  /** It is nothing any more: it must have let go of everything, and ends. */
  private async dismiss(keeper: Keeper): Promise<void> {
    this.leak(keeper.name, await keeper.call("close"));
    await this.end(keeper);
  }

  /**
   * Waits until the owner has made up for the one before it. Where nobody has given the current version back, another
   * one is loaded. Returns the numbers of the versions that were lost, and what has happened, for people: of each
   * owner's recovery once.
   */
  async recover(): Promise<{ lost: number[]; texts: string[] }> {
    const { owner } = this;
    const outcome = await owner.call("whenRecovered");
    const { restored, lost } = this.recovered === owner ? { restored: [], lost: [] } : outcome;
    this.recovered = owner;
    const { versions } = await this.owner.call("ledger");
    const texts = restored.length > 0 ? [`version ${restored.join(", ")} given back`] : [];
    if (lost.length > 0) texts.push(`version ${lost.join(", ")} lost`);
    if (!versions.some(({ state }) => state === "current"))
      texts.push(`loaded ${await this.load(undefined)}`);
    return { lost, texts };
  }

  /** Kills the processes in these slots, and returns when they are dead. */
  async killWorkers(slots: readonly Slot[]): Promise<Worker[]> {
    this.parts.findings.figures.kills.worker += slots.length;
    return Promise.all(slots.map((slot) => slot.kill()));
  }

  async startWorkers(slots: readonly Slot[]): Promise<void> {
    await Promise.all(slots.map((slot) => this.startWorker(slot)));
  }

  private async startWorker(slot: Slot): Promise<void> {
    await slot.start();
    if (this.slots.every((other) => other === slot || other.serving === undefined)) this.alive = slot.since;
  }

  /** When there was a worker again after the last time that there was none. */
  get aliveSince(): number {
    return this.alive;
  }

  /** Has the owner load a content that no version has had, from a file or from memory. */
  async load(file: "file" | undefined): Promise<string> {
    const { versions } = this.parts;
    const content = versions.newContent();
    const path = file && (await this.write(content));
    const began = performance.now();
    const { id, number } = await this.owner.call("load", content, path);
    this.loadMs = performance.now() - began;
    versions.published(content, id, number);
    return `version ${number} (${id.slice(0, 8)})`;
  }

  /** The same for a load that is to fail: what it rejects with, or undefined when it was published after all. */
  async loadInVain(meanwhile: () => Promise<void>): Promise<{ code?: string; message: string } | undefined> {
    const { versions } = this.parts;
    const content = versions.newContent();
    const [loading] = await Promise.allSettled([this.owner.call("load", content, undefined), meanwhile()]);
    if (loading.status === "rejected") {
      versions.refused(content);
      return loading.reason;
    }
    versions.published(content, loading.value.id, loading.value.number);
    return undefined;
  }

  /** A load whose owner may be killed; whether it has answered. If not, the version may have been published or not. */
  async loadThatMayEnd(kill: () => Promise<void>): Promise<boolean> {
    const { owner } = this;
    const content = this.parts.versions.newContent();
    const [loading] = await Promise.allSettled([owner.call("load", content, undefined), kill()]);
    if (loading.status === "fulfilled") {
      this.parts.versions.published(content, loading.value.id, loading.value.number);
    } else if (!owner.killed) throw loading.reason;
    return loading.status === "fulfilled";
  }

  leak(name: string, surplus: Surplus): void {
    const count = Object.values(surplus).reduce((sum, more) => sum + more, 0);
    if (count === 0) return;
    const kinds = Object.entries(surplus).map(([kind, more]) => `${more} x ${kind}`);
    this.parts.findings.count("leakedFds", `${name}: ${kinds.join(", ")}.`, count);
  }

  /** Lets a process end by itself, as it should. */
  async end(child: Child<Commands>): Promise<void> {
    const how = await child.end();
    if (how !== "0") this.parts.findings.fault(`${child.name} ended with ${how} when it was let go.`);
  }

  /** Nothing of this run goes on. */
  destroy(): void {
    for (const child of this.all) child.destroy();
  }

  private newKeeper(): Keeper {
    return this.watched(new Child(`keeper ${++this.keepers}`, ownerProgram));
  }

  private watched<Of extends Commands>(child: Child<Of>): Child<Of> {
    const { findings, log } = this.parts;
    this.all.add(child as unknown as Child<Commands>);
    child.on("died", (how) => findings.fault(`${child.name} died by itself: ${how}`));
    child.on("note", ({ note, text }) => log.detail(`${child.name}: ${note} ${text}`));
    return child;
  }

  private async write(content: number): Promise<string> {
    const file = path.join(this.parts.folder, `content-${content}.safetensors`);
    const data = () => [matrixOf(content)];
    await writeSafetensors(file, [{ name: tensorName, dtype: "F32", shape: [outputs, inputs], data }]);
    return file;
  }
}
