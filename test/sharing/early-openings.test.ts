// What an owner grants is opened when its reply arrives, before anything here has read it; and what it sends
// ahead of that, when that does.
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { Worker } from "node:worker_threads";
import { beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { attach } from "../../dist/lib/index.js";
import {
  type NativeChannel,
  type NativeFd,
  type NativeGrants,
  type NativeSlab,
  native,
} from "../../dist/lib/native.js";
import { clientOf } from "../../dist/lib/sharing/clients.js";
import { encodeFrame } from "../../dist/lib/wire/encode.js";
import { Changes } from "../channel/helpers.js";
import { askByParts } from "../helpers/asking.js";
import { hostMachine, startHostOwner, startHostWorker } from "../helpers/host.js";
import { inspect } from "../helpers/inspect.js";
import { endAfterOwners } from "../helpers/leaks.js";
import { folder, sharings, someTensors, startOwner } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

const nothing = { mappings: 0, references: 0 };
const one = { mappings: 1, references: 1 };
const opened = () => inspect.watchFor(native.mappingStatistics, ({ references }) => references === 1);
const bytes = 2 * 1024 * 1024;
/** What a grant says that something has gone ahead of. */
const granted = { fds: 0, slabs: [], ahead: true };
const id = () => randomBytes(16).toString("hex");

let uuid: string;
beforeAll(async () => {
  uuid = (await native.devices())[0]!.uuid;
});

interface Granting {
  lease: string;
  slabId: string;
  slab: NativeSlab;
  grants: NativeGrants;
  /** Sends the grant, and settles when it has come to JavaScript too: what was to begin has. */
  grant(change?: object): Promise<void>;
  /** The same for what comes ahead of it. */
  ahead(change?: object): Promise<void>;
  /** The same for frames that are made like these, in one piece. */
  send(frames: Buffer[], fds?: NativeFd[]): Promise<void>;
  attachedFrame(change?: object): Buffer;
  aheadFrames(change?: object): Buffer[];
  fds: NativeFd[];
  source(change?: object): Parameters<NativeGrants["open"]>[2];
}

/** A channel whose other end grants a lease on a slab. */
async function granting(sharing: "vmm" | "ipc"): Promise<Granting> {
  const [lease, slabId] = [id(), id()];
  const slab = await native.createSlab({ id: Buffer.from(slabId, "hex"), device: 0, bytes, sharing });
  const fd = sharing === "vmm" ? slab.exportFd() : undefined;
  const manifest = native.createSealedMemfd("manifest", Buffer.alloc(1));
  const [near, farFd] = native.socketPair();
  const far = native.adoptChannel(farFd);
  const grants = native.watchGrants(near);
  const changes = new Changes();
  let [sent, received] = [0, 0];
  native.startChannel(near, {
    onData(bytes, fds) {
      for (const fd of fds) fd.close();
      received += bytes.length;
      changes.changed();
    },
    onDrain: () => {},
    onClose: () => {},
  });
  near.ref();
  endAfterOwners(async () => {
    near.close();
    far.close();
    fd?.close();
    manifest.close();
    await slab.close();
  });
  const handle = slab.handle;
  const fds = fd === undefined ? [manifest] : [fd, manifest];
  const slabs = [{ id: slabId, device: uuid, bytes, sharing, handle: handle?.toString("base64") ?? null }];
  const send = (frames: Buffer[], fds: NativeFd[] = []) => {
    const all = Buffer.concat(frames);
    far.send(all, fds);
    sent += all.length;
    return changes.until(() => received === sent);
  };
  const attachedFrame = (change = {}) =>
    encodeFrame({ fds: fds.length, type: "attached", re: 1, lease, slabs, ...change });
  const aheadFrames = (change = {}) => [
    encodeFrame({ fds: fds.length, type: "ahead", version: { id: "1" }, slabs, ...change }),
  ];
  return {
    ...{ lease, slabId, slab, grants, fds, send, attachedFrame, aheadFrames },
    grant: (change = {}) => send([attachedFrame(change)], "slabs" in change ? [] : fds),
    ahead: (change = {}) => send(aheadFrames(change), fds),
    source: (change = {}) => ({
      ...{ id: Buffer.from(slabId, "hex"), uuid, bytes, access: "read", fd, handle },
      ...change,
    }),
  };
}

/** A socket, and the first connection to it. */
async function acceptOne(): Promise<[string, Promise<NativeChannel>]> {
  const socketPath = newSocket(folder);
  await mkdir(path.dirname(socketPath), { recursive: true });
  const accepted = new Promise<NativeChannel>((resolve, reject) => {
    const listener = native.listen(socketPath, { mode: 0o600, backlog: 1 }, resolve, reject);
    endAfterOwners(async () => listener.close());
  });
  return [socketPath, accepted];
}

test("what comes ahead with memory of both kinds is undone as any other", async () => {
  const { grants, lease, slabId, send, aheadFrames, attachedFrame, fds } = await granting("vmm");
  const of = (handle: string | null) => ({ id: slabId, device: uuid, bytes, handle });
  grants.expect(lease, "read", true);
  const slabs = [of(Buffer.alloc(64).toString("base64")), of(null), of(null)];
  await send(aheadFrames({ fds: 3, slabs }), [fds[0]!, ...fds]);
  await send([attachedFrame(granted)]);
  await grants.end(lease);
  expect(native.mappingStatistics()).toEqual(nothing);
});

describe.each(sharings)("%s", (sharing) => {
  test("a granted slab is opened before anybody asks for it", async () => {
    const { grants, lease, grant, source } = await granting(sharing);
    grants.expect(lease, "read", false);
    await grant();
    expect(await opened()).toEqual(one);
    const mapping = await grants.open(lease, 0, source());
    expect(mapping).toMatchObject({ device: 0, bytes });
    expect(grants.end(lease)).toBeUndefined();
    expect(native.mappingStatistics()).toEqual(one);
    await mapping!.close();
    expect(native.mappingStatistics()).toEqual(nothing);
  });

  test("what nobody takes over is undone", async () => {
    const { grants, lease, grant, source } = await granting(sharing);
    grants.expect(lease, "read", false);
    await grant();
    const undone = grants.end(lease);
    expect(undone).toBeInstanceOf(Promise);
    await undone;
    expect(native.mappingStatistics()).toEqual(nothing);
    expect(grants.open(lease, 0, source())).toBeUndefined();
  });

  test.each([
    ["of another slab", { id: randomBytes(16) }],
    ["of another size", { bytes: 4096 }],
    ["for another access", { access: "readwrite" }],
    ["on another device", { uuid: "GPU-0" }],
  ])("an opening is not taken for one %s", async (_, change) => {
    const { grants, lease, grant, source } = await granting(sharing);
    grants.expect(lease, "read", false);
    await grant();
    expect(grants.open(lease, 0, source(change))).toBeUndefined();
    expect(grants.open(lease, 1, source())).toBeUndefined();
    await grants.end(lease);
    expect(native.mappingStatistics()).toEqual(nothing);
  });

  test("nothing is opened that is not expected, or not any more", async () => {
    const { grants, lease, grant, source } = await granting(sharing);
    grants.expect(id(), "read", false);
    grants.expect(lease, "read", false);
    grants.end(lease);
    await grant();
    expect(grants.open(lease, 0, source())).toBeUndefined();
    expect(grants.end(lease)).toBeUndefined();
  });

  test("nothing is opened for a grant that does not say whose its descriptors are", async () => {
    const { grants, lease, grant, source } = await granting(sharing);
    grants.expect(lease, "read", false);
    await grant({ fds: sharing === "vmm" ? 1 : 0 });
    expect(grants.open(lease, 0, source())).toBeUndefined();
    expect(grants.end(lease)).toBeUndefined();
  });

  test("nor where others declare so many that their sum comes round to what there is", async () => {
    const { grants, lease, send, attachedFrame, fds, source } = await granting(sharing);
    grants.expect(lease, "read", false);
    const most = 10n ** 18n - 1n;
    const declaring = (count: bigint) => {
      const text = Buffer.from(`{"fds":${count},"type":"attached","lease":"${id()}","slabs":[]}`);
      const size = Buffer.alloc(4);
      size.writeUInt32LE(text.length);
      return Buffer.concat([size, text]);
    };
    const others = Array.from({ length: 18 }, () => declaring(most));
    await send([...others, attachedFrame(), declaring(2n ** 64n - 18n * most)], fds);
    expect(grants.open(lease, 0, source())).toBeUndefined();
    expect(grants.end(lease)).toBeUndefined();
  });

  test("what comes ahead is opened for the lease that is expected so, and not again when that is granted", async () => {
    const { grants, lease, ahead, grant, source } = await granting(sharing);
    grants.expect(lease, "read", true);
    await ahead();
    expect(await opened()).toEqual(one);
    await grant(granted);
    expect(await opened()).toEqual(one);
    const mapping = await grants.open(lease, 0, source());
    expect(mapping).toMatchObject({ device: 0, bytes });
    expect(grants.open(lease, 0, source())).toBeUndefined();
    expect(grants.end(lease)).toBeUndefined();
    await mapping!.close();
    expect(native.mappingStatistics()).toEqual(nothing);
  });

  test("nor when the grant names memory itself", async () => {
    const { grants, lease, ahead, grant, source } = await granting(sharing);
    grants.expect(lease, "read", true);
    await ahead();
    await grant();
    await grant();
    expect(await opened()).toEqual(one);
    const mapping = await grants.open(lease, 0, source());
    expect(grants.open(lease, 0, source())).toBeUndefined();
    expect(grants.end(lease)).toBeUndefined();
    await mapping!.close();
    expect(native.mappingStatistics()).toEqual(nothing);
  });

  test("all of it may arrive in one piece, behind a welcome and before another grant", async () => {
    const { grants, lease, slab, send, aheadFrames, attachedFrame, fds, source } = await granting(sharing);
    const other = await granting(sharing);
    const [three, seven] = [3, 7];
    await native.memset(0, slab.devicePointer, three, 1, 16);
    await native.memset(0, other.slab.devicePointer, seven, 1, 16);
    grants.expect(lease, "read", true);
    grants.expect(other.lease, "read", false);
    const welcome = encodeFrame({ fds: 0, type: "welcome", protocol: 1 });
    await send(
      [welcome, ...aheadFrames(), attachedFrame(granted), other.attachedFrame()],
      [...fds, ...other.fds],
    );
    const mappings = await Promise.all([
      grants.open(lease, 0, source()),
      grants.open(other.lease, 0, other.source()),
    ]);
    const values = mappings.map(async (mapping) => {
      const buffer = Buffer.alloc(1);
      await native.memcpyDtoH(0, buffer, mapping!.devicePointer);
      return buffer[0];
    });
    expect(await Promise.all(values)).toEqual([three, seven]);
    for (const mapping of mappings) await mapping!.close();
  });

  test("what came ahead is undone when no grant follows", async () => {
    const { grants, lease, ahead, send, source } = await granting(sharing);
    grants.expect(lease, "read", true);
    await ahead();
    await send([encodeFrame({ fds: 0, type: "error", re: 1, code: "ERR_CUDA_IPC_RETIRED", message: "" })]);
    expect(await opened()).toEqual(one);
    await grants.end(lease);
    expect(native.mappingStatistics()).toEqual(nothing);
    expect(grants.open(lease, 0, source())).toBeUndefined();
  });

  test("what came ahead of another version is not taken, and undone", async () => {
    const { grants, lease, ahead, grant, source } = await granting(sharing);
    grants.expect(lease, "read", true);
    await ahead();
    await grant({ re: 2 });
    expect(grants.open(lease, 0, source({ id: randomBytes(16) }))).toBeUndefined();
    await grants.end(lease);
    expect(native.mappingStatistics()).toEqual(nothing);
  });

  test("what comes ahead is for the last lease that is expected so, once", async () => {
    const { grants, lease, ahead, source } = await granting(sharing);
    const before = id();
    grants.expect(before, "read", true);
    grants.expect(lease, "read", true);
    grants.expect(id(), "read", false);
    await ahead();
    await ahead();
    expect(grants.open(before, 0, source())).toBeUndefined();
    expect(grants.end(before)).toBeUndefined();
    await grants.end(lease);
    await ahead();
    expect(grants.end(lease)).toBeUndefined();
    expect(native.mappingStatistics()).toEqual(nothing);
  });

  test.each<[string, (grants: NativeGrants, lease: string) => void]>([
    ["when no lease is expected so", (grants, lease) => grants.expect(lease, "read", false)],
    [
      "when one is not any more",
      (grants, lease) => {
        grants.expect(lease, "read", true);
        grants.end(lease);
      },
    ],
    [
      "when that is expected anew, without",
      (grants, lease) => {
        grants.expect(lease, "read", true);
        grants.expect(lease, "read", false);
      },
    ],
  ])("nothing is opened of what comes ahead %s", async (_, expecting) => {
    const { grants, lease, ahead, source } = await granting(sharing);
    expecting(grants, lease);
    await ahead();
    expect(grants.open(lease, 0, source())).toBeUndefined();
    expect(grants.end(lease)).toBeUndefined();
  });

  test.each<[string, object]>([
    ["does not say whose its descriptors are", { fds: sharing === "vmm" ? 1 : 0 }],
    ["names a lease", { lease: "00" }],
  ])("nothing is opened of what comes ahead and %s", async (_, change) => {
    const { grants, lease, ahead } = await granting(sharing);
    grants.expect(lease, "read", true);
    await ahead(change);
    expect(grants.end(lease)).toBeUndefined();
  });

  test.each([
    ["of a grant", false],
    ["ahead of one", true],
  ])("what a thread has begun %s when it ends is undone", async (_, ahead) => {
    const { lease, slabId, slab, fds } = await granting(sharing);
    const slabs = [
      { id: slabId, device: uuid, bytes, sharing, handle: slab.handle?.toString("base64") ?? null },
    ];
    const which = ahead ? { type: "ahead" } : { type: "attached", lease };
    const frame = encodeFrame({ fds: fds.length, ...which, slabs });
    const [socketPath, accepted] = await acceptOne();
    const thread = new Worker(
      `const { workerData, parentPort } = require("node:worker_threads");
       const { native } = require(workerData.addon);
       native.connect(workerData.socketPath).then((channel) => {
         globalThis.grants = native.watchGrants(channel);
         grants.expect(workerData.lease, "read", workerData.ahead);
         native.startChannel(channel, { onData() {}, onDrain() {}, onClose() {} });
         channel.ref();
         parentPort.postMessage("expecting");
       });`,
      {
        eval: true,
        workerData: { lease, ahead, socketPath, addon: require.resolve("../../dist/lib/native.js") },
      },
    );
    await once(thread, "message");
    const far = await accepted;
    far.send(frame, fds);
    expect(await opened()).toEqual(one);
    await thread.terminate();
    expect(await inspect.watchFor(native.mappingStatistics, (now) => now.references === 0)).toEqual(nothing);
    far.close();
  });

  test("an attach opens nothing itself", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const opening = vi.spyOn(native, "openSlab");
    onTestFinished(() => opening.mockRestore());
    const weights = await attach("llm", { socket: owner.socket });
    expect(opening).not.toHaveBeenCalled();
    expect(await weights.computeChecksum()).toBe(version.checksum);
    await weights.release();
    expect(native.mappingStatistics()).toEqual(nothing);
  });

  /** A client whose grants end as `end` says, and which gives an attach up as soon as it has asked. */
  function givenUp(socket: string, end: () => Promise<void>) {
    const enough = new AbortController();
    const watchGrants = (channel: NativeChannel): NativeGrants => {
      const grants = native.watchGrants(channel);
      return {
        open: (...args) => grants.open(...args),
        expect() {
          // The request goes out in this turn, and nobody waits for its answer.
          queueMicrotask(() => enough.abort(new Error("enough")));
        },
        end,
      };
    };
    const ask = askByParts({ ...native, watchGrants });
    const client = clientOf(socket, { ...native, ask, watchGrants });
    const request = { set: "llm", version: null, checksum: null, access: "read" as const };
    return { client, attaching: client.attach(request, { timeout: 10_000, signal: enough.signal }) };
  }

  test("an attach that was given up ends its lease when what was opened for it is undone", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    let undone!: () => void;
    const undoing = new Promise<void>((resolve) => {
      undone = resolve;
    });
    const { client, attaching } = givenUp(owner.socket, () => undoing);
    await expect(attaching).rejects.toThrow("enough");
    await version.waitForRefCount((count) => count === 1);
    // Behind whatever else this client has sent.
    expect((await client.refCount(version.id)).count).toBe(1);
    undone();
    await version.waitForRefCount((count) => count === 0);
    client.disconnect();
  });

  test("and where that cannot be waited for", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const { client, attaching } = givenUp(owner.socket, () => Promise.reject(new Error("no thread")));
    await expect(attaching).rejects.toThrow("enough");
    expect((await client.refCount(version.id)).count).toBe(0);
    client.disconnect();
  });

  test("a lease is not given back while its memory is being opened still", async () => {
    const slowMs = 1000;
    const calls = ["cuIpcOpenMemHandle", "cuMemImportFromShareableHandle"];
    const machine = hostMachine();
    const { owner, socket } = await startHostOwner(machine, folder);
    const { id: version } = await owner.call<{ id: string }>("load", "llm", someTensors(), { sharing });
    const worker = await startHostWorker(machine, {
      faults: calls.map((call) => `${call}:*=slow=${slowMs}`).join(","),
    });
    await worker.call("warmUp");
    const file = path.join(folder, `granted ${sharing}`);
    const attaching = worker.call("giveUpOnceThere", file, "llm", { socket });
    const givenUp = expect(attaching).rejects.toMatchObject({ code: "ENOUGH" });
    await owner.call("waitForRefCount", version, 1);
    const granted = performance.now();
    writeFileSync(file, "");
    await givenUp;
    await owner.call("waitForRefCount", version, 0);
    expect(performance.now() - granted).toBeGreaterThan(slowMs / 2);
    expect(await worker.call("mappings")).toEqual(nothing);
  });
});
