import path from "node:path";
import { writeSafetensors } from "../../lib/index.js";
import type { ObserverCommands } from "./actors/observer.js";
import type { OwnerCommands } from "./actors/owner.js";
import { Child } from "./child.js";
import { inputs, matrixOf, outputs, tensorName } from "./content.js";
import type { Findings } from "./findings.js";
import type { Log } from "./log.js";
import type { Commands, Surplus } from "./messages.js";
import { Slot } from "./slot.js";
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
  private present: Keeper | undefined;
  private keepers = 0;
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

  /** An owner with a first version, and its workers. */
  async start(): Promise<void> {
    await this.startOwner();
    await this.load(undefined);
    await Promise.all(this.slots.map((slot) => slot.start()));
  }

  async startOwner(): Promise<void> {
    const owner = this.newKeeper();
    await owner.call("listen", this.socket);
    this.present = owner;
  }

  /**
   * Waits until the owner has made up for the one before it. What nobody has given back is loaded anew if it was the
   * current version. Returns what was lost, for people.
   */
  async recover(): Promise<string[]> {
    const { restored, lost } = await this.owner.call("whenRecovered");
    const { versions } = await this.owner.call("ledger");
    const texts = [`${restored.length} versions restored`];
    if (lost.length > 0) texts.push(`version ${lost.join(", ")} lost, which nobody held`);
    if (!versions.some(({ state }) => state === "current"))
      texts.push(`loaded ${await this.load(undefined)}`);
    return texts;
  }

  /** Has the owner load a content that no version has had, from a file or from memory. */
  async load(file: "file" | undefined): Promise<string> {
    const { versions } = this.parts;
    const content = versions.newContent();
    const path = file && (await this.write(content));
    const { id, number } = await this.owner.call("load", content, path);
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
    return this.watched(new Child(`owner ${++this.keepers}`, ownerProgram));
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
