// What an owner sends ahead of a grant, and what becomes of it when the grant is another one, or none.
import { randomBytes } from "node:crypto";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { attach, type Owner } from "../../dist/lib/index.js";
import { type NativeAddon, type NativeShelf, native } from "../../dist/lib/native.js";
import type { CatalogEntry } from "../../dist/lib/sharing/catalog.js";
import { clientOf } from "../../dist/lib/sharing/clients.js";
import { Granting } from "../../dist/lib/sharing/granting.js";
import { Changes } from "../channel/helpers.js";
import { askByParts } from "../helpers/asking.js";
import { type Child, startChild } from "../helpers/child.js";
import { beforeGrant } from "../helpers/granting.js";
import { inspect } from "../helpers/inspect.js";
import { expectMemoryBack, freeMemory } from "../helpers/memory.js";
import { block, MIB, sharings, someTensors, startOwner, startWorker } from "../helpers/sharing.js";

type Messages = { type: string; version?: { id: string }; ahead?: boolean; slabs?: object[]; fds: number }[];

/** A peer that has been welcomed. */
async function welcomedPeer(owner: Owner): Promise<Child> {
  const peer = startChild("peer.cjs");
  await peer.call("connect", owner.socket);
  await peer.call("hello");
  expect(await peer.call("next")).toMatchObject({ type: "welcome" });
  return peer;
}

/** What the peer is told until it has an answer. */
async function askedBy(peer: Child, set: string, changes: object = {}): Promise<Messages> {
  const lease = randomBytes(16).toString("hex");
  await peer.call("requestAttach", set, lease, { ahead: true, ...changes });
  const messages: Messages = [];
  for (;;) {
    const message = await peer.call<Messages[number]>("next");
    messages.push(message);
    if (message.type === "error") return messages;
    if (message.type === "attached") {
      await peer.call("release", [lease]);
      expect(await peer.call("next")).toMatchObject({ type: "released", ended: 1 });
      return messages;
    }
  }
}

const types = (messages: Messages) => messages.map(({ type }) => type);
const inAdvance = ["ahead", "attached"];
const afterwards = ["attached"];

test("a version that could not be laid ready for want of descriptors is as soon as there are some", async () => {
  const owner = await startOwner();
  const short = Object.assign(new Error("none left"), { code: "ERR_CUDA_IPC_FD_LIMIT" });
  const making = vi.spyOn(native, "createSealedMemfd").mockImplementation(() => {
    throw short;
  });
  onTestFinished(() => making.mockRestore());
  await owner.load("llm", someTensors());
  const peer = await welcomedPeer(owner);
  expect(types(await askedBy(peer, "llm"))).toEqual(["error"]);
  making.mockRestore();
  expect(types(await askedBy(peer, "llm"))).toEqual(afterwards);
  expect(types(await askedBy(peer, "llm"))).toEqual(inAdvance);
});

describe.each(sharings)("%s", (sharing) => {
  test("the current version comes ahead, and the grant refers to it", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const peer = await welcomedPeer(owner);
    const messages = await askedBy(peer, "llm");
    expect(types(messages)).toEqual(inAdvance);
    expect(messages[0]).toMatchObject({ version: { id: version.id }, fds: sharing === "vmm" ? 2 : 1 });
    expect(messages[0]!.slabs).toHaveLength(1);
    expect(messages[1]).toMatchObject({ version: { id: version.id }, slabs: [], fds: 0, ahead: true });
  });

  test("a new version takes the place of the one before; a withdrawn set has none", async () => {
    const owner = await startOwner();
    const first = await owner.load("llm", someTensors(), { sharing, pinned: true });
    const second = await owner.load("llm", someTensors(2), { sharing });
    const peer = await welcomedPeer(owner);
    expect((await askedBy(peer, "llm"))[0]).toMatchObject({ type: "ahead", version: { id: second.id } });
    await owner.rollback("llm", first.id);
    expect((await askedBy(peer, "llm"))[0]).toMatchObject({ type: "ahead", version: { id: first.id } });
    await owner.retire("llm");
    expect(types(await askedBy(peer, "llm"))).toEqual(["error"]);
    first.unpin();
  });

  test("who names a version, or a checksum, is sent that ahead or nothing", async () => {
    const owner = await startOwner();
    const first = await owner.load("llm", someTensors(), { sharing, pinned: true });
    const second = await owner.load("llm", someTensors(2), { sharing });
    const peer = await welcomedPeer(owner);
    expect(types(await askedBy(peer, "llm", { version: first.id }))).toEqual(afterwards);
    expect(types(await askedBy(peer, "llm", { version: second.id }))).toEqual(inAdvance);
    expect(types(await askedBy(peer, "llm", { checksum: second.checksum }))).toEqual(inAdvance);
    expect(types(await askedBy(peer, "llm", { checksum: first.checksum }))).toEqual(["error"]);
    expect(types(await askedBy(peer, "llm", { ahead: false }))).toEqual(afterwards);
    first.unpin();
  });

  test("one that cannot be kept ready takes the place of the one before all the same", async () => {
    const owner = await startOwner();
    const first = await owner.load("llm", someTensors(), { sharing, pinned: true });
    const { shelf } = Reflect.get(owner, "server") as unknown as { shelf: { native: NativeShelf } };
    const { native: kept } = shelf;
    shelf.native = {
      put() {
        throw new Error("no descriptor left");
      },
      remove: (set, version) => kept.remove(set, version),
      clear: () => kept.clear(),
      whenReturned: (...args) => kept.whenReturned(...args),
    };
    const second = await owner.load("llm", someTensors(2), { sharing });
    const messages = await askedBy(await welcomedPeer(owner), "llm");
    expect(types(messages)).toEqual(afterwards);
    expect(messages[0]).toMatchObject({ version: { id: second.id } });
    first.unpin();
  });

  test("memory is handed back as if it were not kept ready", async () => {
    const before = await freeMemory();
    const owner = await startOwner();
    const version = await owner.load("llm", block(8 * MIB), { sharing });
    await owner.load("llm", block(4 * MIB), { sharing });
    await version.whenFreed();
    await owner.retire("llm");
    await expectMemoryBack(before);
  });

  test("it is mapped while the owner has not looked at the request yet", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const silence = vi.spyOn(Granting.prototype, "attach").mockReturnValue(new Promise(() => {}));
    onTestFinished(() => silence.mockRestore());
    const abort = new AbortController();
    const attaching = attach("llm", { socket: owner.socket, signal: abort.signal });
    const givenUp = expect(attaching).rejects.toThrow("enough");
    const mapped = ({ references }: { references: number }) => references === 1;
    expect(await inspect.watchFor(native.mappingStatistics, mapped)).toEqual({ mappings: 1, references: 1 });
    expect(version.refCount).toBe(0);
    abort.abort(new Error("enough"));
    await givenUp;
    await owner.retire("llm");
    await version.whenFreed();
    expect(await inspect.watchFor(native.mappingStatistics, (now) => !mapped(now))).toEqual({
      mappings: 0,
      references: 0,
    });
  });

  test("it is mapped while the worker's own thread does something else", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const worker = await startWorker();
    await worker.call("memory");
    expect(await worker.call("attachStandingStill", "llm", { socket: owner.socket })).toBe(1);
    expect(version.refCount).toBe(1);
  });

  test("a refusal leaves nothing of what came ahead", async () => {
    const owner = await startOwner();
    await owner.load("llm", someTensors(), { sharing });
    const refused = attach("llm", { socket: owner.socket, access: "readwrite" });
    await expect(refused).rejects.toMatchObject({ code: "ERR_CUDA_IPC_NOT_WRITABLE" });
    expect(native.mappingStatistics()).toEqual({ mappings: 0, references: 0 });
  });

  test("what was replaced between is not what is attached", async () => {
    const owner = await startOwner();
    const first = await owner.load("llm", someTensors(), { sharing, pinned: true });
    const second = await owner.load("llm", someTensors(2), { sharing });
    // The worker would ask once more if it took the answer amiss.
    const refused = vi.fn();
    owner.on("peererror", refused);
    let turned: Promise<unknown> | undefined;
    beforeGrant(() => {
      turned = owner.rollback("llm", first.id);
    });
    await using weights = await attach("llm", { socket: owner.socket });
    await turned;
    expect(weights.version.id).toBe(first.id);
    expect(await weights.tensor("floats").toHost()).toEqual(someTensors().floats);
    expect(native.mappingStatistics()).toEqual({ mappings: 1, references: 1 });
    expect(second.refCount).toBe(0);
    expect(refused).not.toHaveBeenCalled();
    first.unpin();
  });

  test("what was withdrawn between is not attached", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    let retired: Promise<void> | undefined;
    beforeGrant(() => {
      retired = owner.retire("llm");
    });
    const refused = attach("llm", { socket: owner.socket });
    await expect(refused).rejects.toMatchObject({ code: "ERR_CUDA_IPC_NO_SET" });
    expect(native.mappingStatistics()).toEqual({ mappings: 0, references: 0 });
    await retired;
    await version.whenFreed();
  });

  test("whoever gives up while the owner looks keeps nothing", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const abort = new AbortController();
    beforeGrant(() => abort.abort(new Error("enough")));
    await expect(attach("llm", { socket: owner.socket, signal: abort.signal })).rejects.toThrow("enough");
    await version.waitForRefCount((count) => count === 0);
  });
});

const asked = { set: "llm", version: null, checksum: null, access: "read" as const };

/** A client that opens slabs by `openSlab` alone; `end` is told when a request has failed, or its slabs are open. */
function clientThat(socket: string, openSlab: NativeAddon["openSlab"], end = () => {}) {
  const watchGrants = () => ({ expect() {}, open: () => undefined, end: () => void end() });
  const ask = askByParts({ ...native, watchGrants });
  const client = clientOf(socket, { ...native, ask, watchGrants, openSlab });
  onTestFinished(() => client.disconnect());
  return client;
}

test.each(sharings)(
  "a lease that was asked for on a line that could not be made is given back: %s",
  async (sharing) => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    let calls = 0;
    const chosenProvider = () => {
      if (++calls === 2) throw new Error("no memory");
      return native.chosenProvider();
    };
    const client = clientOf(owner.socket, { ...native, chosenProvider });
    onTestFinished(() => client.disconnect());
    const granted = version.waitForRefCount((count) => count === 1);
    expect(() => client.attach(asked, { timeout: 10_000 })).toThrow("no memory");
    await granted;
    await version.waitForRefCount((count) => count === 0);
    const weights = await client.attach(asked, { timeout: 10_000 });
    expect(weights.version.id).toBe(version.id);
    await weights.release();
  },
);

test("what was replaced is unmapped when the attach is done", async () => {
  const owner = await startOwner();
  const first = await owner.load("llm", someTensors(), { pinned: true });
  await owner.load("llm", someTensors(2));
  beforeGrant(() => void owner.rollback("llm", first.id));
  const replacing = new Changes();
  let [opened, ended, settled] = [0, 0, false];
  let tooEarly: boolean | undefined;
  const client = clientThat(
    owner.socket,
    async (source) => {
      // The one that came ahead takes until the other one is mapped.
      if (++opened === 1) await replacing.until(() => tooEarly !== undefined);
      return native.openSlab(source);
    },
    () => {
      if (++ended > 1) return;
      setImmediate(() => {
        tooEarly = settled;
        replacing.changed();
      });
    },
  );
  const weights = await client.attach(asked, {}).finally(() => {
    settled = true;
  });
  expect({ opened, tooEarly }).toEqual({ opened: 2, tooEarly: false });
  expect(weights.version.id).toBe(first.id);
  expect(native.mappingStatistics()).toEqual({ mappings: 1, references: 1 });
  await weights.release();
  first.unpin();
});

test("what came ahead is unmapped when an attach has timed out", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors());
  const silence = vi.spyOn(Granting.prototype, "attach").mockReturnValue(new Promise(() => {}));
  onTestFinished(() => silence.mockRestore());
  const failing = new Changes();
  let [failed, mapped] = [false, false];
  const client = clientThat(
    owner.socket,
    async (source) => {
      await failing.until(() => failed);
      return native.openSlab(source).finally(() => {
        mapped = true;
      });
    },
    () => {
      failed = true;
      failing.changed();
    },
  );
  const late = client.attach(asked, { timeout: 200 });
  await expect(late).rejects.toMatchObject({ code: "ERR_CUDA_IPC_TIMEOUT" });
  expect(mapped).toBe(true);
  expect(native.mappingStatistics()).toEqual({ mappings: 0, references: 0 });
  expect(version.refCount).toBe(0);
});

test("many attaches at once share what comes ahead of one of them", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors());
  const all = await Promise.all(Array.from({ length: 20 }, () => attach("llm", { socket: owner.socket })));
  expect(version.refCount).toBe(20);
  for (const weights of all) expect(await weights.tensor("floats").toHost()).toEqual(someTensors().floats);
  await Promise.all(all.map((weights) => weights.release()));
  expect(version.refCount).toBe(0);
});

test("it is not kept ready any more when its memory is handed back: the last descriptor takes long to close", async () => {
  const owner = await startOwner();
  await owner.load("llm", someTensors());
  const { catalog, server } = owner as unknown as {
    catalog: { current(set: string): CatalogEntry };
    server: { shelf: { native: NativeShelf } };
  };
  const remove = vi.spyOn(server.shelf.native, "remove");
  const handBack = vi.spyOn(catalog.current("llm").slabs[0]!.fd!, "dispose");
  await owner.load("llm", someTensors(2));
  expect(handBack).toHaveBeenCalledOnce();
  expect(remove).toHaveBeenCalledBefore(handBack);
});
