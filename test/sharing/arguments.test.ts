// Plain JavaScript has no compiler: wrong arguments of the sharing layer are refused by name, before anything is done.
import type { EventEmitter } from "node:events";
import { existsSync } from "node:fs";
import path from "node:path";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import {
  attach,
  decodeBf16,
  decodeF16,
  follow,
  Owner,
  openCheckpoint,
  openShared,
  ownerStatus,
  type Standby,
  type TensorInput,
  writeSafetensors,
} from "../../dist/lib/index.js";
import { readJournal } from "../../dist/lib/sharing/journal-read.js";
import { journalPath } from "../../dist/lib/sharing/socket-path.js";
import { coded } from "../helpers/errors.js";
import { folder, someTensors, startOwner } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

// biome-ignore lint/suspicious/noExplicitAny: wrong types on purpose
type Wrong = any;
/** What is called, and the sentence of its refusal. */
type Case = [what: string, call: () => unknown, message: RegExp];

const signal: Wrong = 5;
const noSignal = /^Expected an AbortSignal for signal, but received 5 of type number$/;

/** Each is refused with its own sentence. */
async function refusesAll(cases: Case[]): Promise<void> {
  for (const [what, call, message] of cases) {
    const attempt = async () => call();
    await expect(attempt(), what).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
      message: expect.stringMatching(message),
    });
  }
}

test("load", async () => {
  const owner = await startOwner();
  const load = (options: Wrong) => () => owner.load("llm", someTensors(), options);
  await refusesAll([
    ["writable", load({ writable: 1 }), /a boolean for writable, but received 1 of type number/],
    ["writable: null", load({ writable: null }), /for writable, but received null of type null/],
    ["pinned", load({ pinned: "yes" }), /a boolean for pinned, but received "yes"/],
    ["ifChanged", load({ ifChanged: 1 }), /a boolean for ifChanged/],
    ["onProgress", load({ onProgress: 5 }), /a function for onProgress, but received 5/],
    ["signal", load({ signal }), noSignal],
  ]);
  expect(owner.versions()).toEqual([]);
  await owner.load("llm", someTensors(), { writable: undefined, pinned: undefined, ifChanged: undefined });
  await (await attach("llm", { socket: owner.socket })).release();
});

test("sources", async () => {
  const owner = await startOwner();
  const load = (source: Wrong) => () => owner.load("llm", source);
  const source = /^Expected a path \(a string\), or tensors by name \(an object or a Map\) for source/;
  const detached = new Float32Array(4);
  structuredClone(detached, { transfer: [detached.buffer] });
  // The compiler refuses it as well.
  // @ts-expect-error
  const view: TensorInput = new DataView(new ArrayBuffer(8));
  const misspelt = { dtype: "U8", shape: [1], data: new Uint8Array(1), dtpe: 1 };
  await refusesAll([
    ["a URL", load(new URL("file:///model.safetensors")), source],
    ["a list", load([]), source],
    ["a Set", load(new Set()), source],
    ["null", load(null), source],
    [
      "a DataView",
      load({ a: view }),
      /{ dtype, shape, data } for tensor "a", but received "\[object DataView\]"/,
    ],
    ["an object without text", load({ a: { dtype: Object.create(null) } }), /for tensor "a".dtype/],
    ["a detached array", load({ a: detached }), /^Tensor "a": the buffer of its data is detached/],
    ["a misspelt key", load({ a: misspelt }), /only dtype, shape, data for tensor "a", but received "dtpe"/],
  ]);
  expect(owner.versions()).toEqual([]);
});

test("arrays, objects and maps of another realm are taken like those of this one", async () => {
  const owner = await startOwner();
  const own = await owner.load("own", { a: Float32Array.of(1, 2) });
  for (const text of ["({ a: Float32Array.of(1, 2) })", 'new Map([["a", Float32Array.of(1, 2)]])']) {
    const { checksum } = await owner.load("other", runInNewContext(text));
    expect(checksum).toBe(own.checksum);
  }
});

test("listen and takeOver", async () => {
  const socket = newSocket(folder);
  const listen = (options: Wrong) => () => Owner.listen({ socket, ...options });
  const limits = (limits: Wrong) => listen({ limits });
  await refusesAll([
    [
      "connections",
      limits({ connections: -1 }),
      /an integer from 0 .* for limits.connections, but received -1/,
    ],
    ["leases", limits({ leases: Number.NaN }), /for limits.leases, but received NaN/],
    ["locks", limits({ locks: "x" }), /for limits.locks, but received "x" of type string/],
    ["grace", limits({ unprovenGraceMs: 2 ** 31 }), /from 0 to 2147483647 for limits.unprovenGraceMs/],
    ["orStandby", listen({ orStandby: "yes" }), /a boolean for orStandby, but received "yes"/],
    ["a list", () => Owner.listen([] as Wrong), /^Expected an object for options/],
    ["takeOver: signal", () => Owner.takeOver({ socket, signal }), noSignal],
  ]);
});

test("whether to stand by may be known at run time only", async () => {
  const flag: boolean = process.pid === 0;
  const owner: Owner | Standby<Owner> = await Owner.listen({ socket: newSocket(folder), orStandby: flag });
  expect(owner).toBeInstanceOf(Owner);
  await owner.close();
});

test("an owner whose close is refused goes on", async () => {
  const owner = await startOwner();
  await owner.load("llm", someTensors());
  const close = (options: Wrong) => () => owner.close(options);
  await refusesAll([
    ["locks", close({ locks: "x" }), /"wait" or "refuse" for locks, but received "x"/],
    ["ipcLeases", close({ ipcLeases: "x" }), /"wait" or "refuse" for ipcLeases/],
    ["restart", close({ restart: "yes" }), /a boolean for restart/],
    ["signal", close({ signal }), noSignal],
  ]);
  await (await attach("llm", { socket: owner.socket })).release();
});

test("what looks like a signal and is none", async () => {
  const owner = await startOwner();
  await owner.load("llm", someTensors(), { writable: true });
  const { socket } = owner;
  const weights = await attach("llm", { socket });
  const file = path.join(folder, "none.safetensors");
  await refusesAll([
    ["attach", () => attach("llm", { socket, signal }), noSignal],
    ["follow", () => follow("llm", { socket, signal }), noSignal],
    ["ownerStatus", () => ownerStatus({ socket, signal }), noSignal],
    ["latest", () => weights.latest({ signal }), noSignal],
    ["lock", () => weights.lock("name", { signal }), noSignal],
    ["openCheckpoint", () => openCheckpoint(file, { signal }), noSignal],
    ["writeSafetensors", () => writeSafetensors(file, [], { signal }), noSignal],
  ]);
  await weights.release();
  expect(existsSync(file)).toBe(false);
});

test("files, views and handles", async () => {
  const file = path.join(folder, "none.safetensors");
  await refusesAll([
    ["no list", () => writeSafetensors(file, {} as Wrong), /a list of tensors for tensors/],
    ["null for a list", () => writeSafetensors(file, null as Wrong), /a list of tensors for tensors/],
    ["null for a tensor", () => writeSafetensors(file, [null as Wrong]), /for a tensor, but received null/],
    ["openShared", () => openShared(null as Wrong), /for shared, but received null/],
    ["decodeBf16", () => decodeBf16(undefined as Wrong), /a Uint16Array for bits, but received undefined/],
    ["decodeF16", () => decodeF16([1] as Wrong), /a Uint16Array for bits/],
  ]);
});

test("waitForRefCount", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors());
  const { catalog } = version as unknown as { catalog: EventEmitter };
  const listeners = () => ["count", "freed"].map((event) => catalog.listenerCount(event));
  const before = listeners();
  await refusesAll([
    ["condition", () => version.waitForRefCount(5 as Wrong), /a function for condition, but received 5/],
    ["signal", () => version.waitForRefCount(() => true, signal), noSignal],
  ]);
  const broken = new Error("broken");
  const fails = version.waitForRefCount((count) => {
    if (count > 0) throw broken;
    return false;
  });
  const refused = expect(fails).rejects.toBe(broken);
  await (await attach("llm", { socket: owner.socket })).release();
  await refused;
  expect(listeners()).toEqual(before);
});

test("what no successor could read is not written down, and its memory is given back", async () => {
  const owner = await startOwner();
  const before = await owner.load("llm", someTensors(1));
  const { catalog } = owner as unknown as { catalog: { publish(...args: unknown[]): unknown } };
  const publish = catalog.publish.bind(catalog);
  let slabs: { fd: { fd: number } }[] = [];
  catalog.publish = (facts, sharing, loaded) => {
    slabs = (loaded as { slabs: typeof slabs }).slabs;
    return publish({ ...(facts as object), source: 5 }, sharing, loaded);
  };
  await expect(owner.load("llm", someTensors(2), { sharing: "vmm" })).rejects.toEqual(coded("PROTOCOL"));
  expect(slabs.map(({ fd }) => fd.fd)).toEqual([-1]);
  catalog.publish = publish;
  expect(owner.versions()).toEqual([before]);
  // Nothing of it comes out with what is written next.
  const after = await owner.load("llm", someTensors(3), { sharing: "vmm" });
  const state = await readJournal(journalPath(owner.socket));
  expect([...state!.versions.keys()]).toContain(after.id);
});
