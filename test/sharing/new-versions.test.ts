// What becomes of holders when a version is published over theirs, and of a version when the set goes back to it.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test, vi } from "vitest";
import { attach, type Owner, type Version, type Weights } from "../../dist/lib/index.js";
import { native } from "../../dist/lib/native.js";
import { coded } from "../helpers/errors.js";
import { hostMachine, startHostOwner, startHostWorker } from "../helpers/host.js";
import { openLate } from "../helpers/late-openings.js";
import { expectMemoryBack, freeMemory } from "../helpers/memory.js";
import { block, folder, MIB, sharings, someTensors, startOwner } from "../helpers/sharing.js";

const attachTo = (owner: Owner, options = {}) => attach("llm", { socket: owner.socket, ...options });
const heard = (weights: Weights, event: "superseded" | "reinstated" | "retired") =>
  new Promise<unknown>((resolve) => weights.once(event, resolve));

test("a load that fails or is aborted leaves the current version, and its holders hear nothing", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors(1));
  const weights = await attachTo(owner);
  const superseded = vi.fn();
  weights.on("superseded", superseded);
  const broken = path.join(folder, "broken.safetensors");
  writeFileSync(broken, Buffer.alloc(100));
  await expect(owner.load("llm", broken)).rejects.toThrow();
  const aborted = AbortSignal.abort(new Error("enough"));
  await expect(owner.load("llm", someTensors(2), { signal: aborted })).rejects.toThrow("enough");
  const controller = new AbortController();
  const abortAtOnce = { onProgress: () => controller.abort(new Error("later")), signal: controller.signal };
  await expect(owner.load("llm", block(8 * MIB), abortAtOnce)).rejects.toThrow("later");
  expect(owner.versions()).toEqual([version]);
  expect([version.state, version.refCount]).toEqual(["current", 1]);
  const news = heard(weights, "superseded");
  const next = await owner.load("llm", someTensors(3));
  expect(await news).toEqual({ set: "llm", version: next.id });
  expect(superseded).toHaveBeenCalledOnce();
  await weights.release();
});

test.each(["process", "inline"] as const)(
  "what onProgress throws fails the load, which rejects with it and leaves nothing (%s)",
  async (loading) => {
    const owner = await startOwner({ loading });
    const version = await owner.load("llm", someTensors(1));
    const thrown = new Error("no longer wanted");
    const onProgress = vi.fn(() => {
      throw thrown;
    });
    const before = await freeMemory();
    await expect(owner.load("llm", block(8 * MIB), { onProgress })).rejects.toBe(thrown);
    await expectMemoryBack(before);
    expect(onProgress).toHaveBeenCalledOnce();
    expect(owner.versions()).toEqual([version]);
    expect(owner.current("llm")).toBe(version);
    expect((await owner.load("llm", someTensors(2))).number).toBe(2);
  },
);

test("weights whose version is superseded while their memory is being mapped hear of it", async () => {
  openLate();
  const owner = await startOwner();
  await owner.load("llm", someTensors(1));
  const witness = await attachTo(owner);
  const { openSlab } = native;
  let next: Version | undefined;
  vi.spyOn(native, "openSlab").mockImplementationOnce(async (options) => {
    next = await owner.load("llm", someTensors(2));
    // Asked on the same connection after the event was sent: it has arrived.
    await witness.refCount();
    return openSlab(options);
  });
  const weights = await attachTo(owner);
  expect(weights.version.id).not.toBe(next!.id);
  expect(await heard(weights, "superseded")).toEqual({ set: "llm", version: next!.id });
  await Promise.all([weights.release(), witness.release()]);
});

test("latest() is a lease of its own, also on the same version", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors(1), { writable: true });
  const weights = await attachTo(owner, { access: "readwrite" });
  const same = await weights.latest();
  expect([same === weights, same.version, same.access]).toEqual([false, weights.version, "readwrite"]);
  expect(version.refCount).toBe(2);
  await weights.release();
  expect(version.refCount).toBe(1);
  const fixed = await owner.load("llm", someTensors(2));
  await expect(same.latest()).rejects.toThrow(coded("NOT_WRITABLE"));
  await expect(same.latest({ signal: AbortSignal.abort(new Error("no")) })).rejects.toThrow("no");
  expect(fixed.refCount).toBe(0);
  await owner.retire("llm");
  await expect(same.latest()).rejects.toThrow(coded("NO_SET"));
  await same.release();
});

test("whoever holds a version of a set that was withdrawn hears when there is a new one", async () => {
  const owner = await startOwner();
  await owner.load("llm", someTensors(1));
  const weights = await attachTo(owner);
  const withdrawn = heard(weights, "retired");
  const retiring = owner.retire("llm");
  expect(await withdrawn).toEqual({ set: "llm" });
  const news = heard(weights, "superseded");
  const next = await owner.load("llm", someTensors(2));
  expect(await news).toEqual({ set: "llm", version: next.id });
  await weights.release();
  await retiring;
});

test("rollback makes a version current that is still held, and tells both sides", async () => {
  const owner = await startOwner();
  const first = await owner.load("llm", someTensors(1));
  const a = await attachTo(owner);
  const news = heard(a, "superseded");
  const second = await owner.load("llm", someTensors(2));
  const b = await attachTo(owner);
  expect(await news).toEqual({ set: "llm", version: second.id });
  const told = Promise.all([heard(a, "reinstated"), heard(b, "superseded")]);
  expect(await owner.rollback("llm", first.id)).toBe(first);
  expect(await told).toEqual([
    { set: "llm", version: first.id },
    { set: "llm", version: first.id },
  ]);
  expect([first.state, second.state]).toEqual(["current", "superseded"]);
  const c = await attachTo(owner);
  expect([c.version.id, c.checksum]).toEqual([first.id, first.checksum]);
  // And forward again: it is news, although it has been heard before.
  const again = heard(a, "superseded");
  await owner.rollback("llm", second.id);
  expect(await again).toEqual({ set: "llm", version: second.id });
  await a.release();
  expect(first.state).toBe("superseded");
  await c.release();
  await first.whenFreed();
  await b.release();
  // The numbers go on: none is used twice.
  expect((await owner.load("llm", someTensors(3))).number).toBe(3);
});

test("rollback to a version that is pinned, and to none that is not there", async () => {
  const owner = await startOwner();
  const first = await owner.load("llm", someTensors(1), { pinned: true });
  const second = await owner.load("llm", someTensors(2));
  const other = await owner.load("vision", someTensors(1));
  expect(first.state).toBe("superseded");
  await owner.rollback("llm", first.id);
  // The one that nobody holds or has pinned is gone, and cannot come back.
  await second.whenFreed();
  for (const id of [second.id, other.id, "0".repeat(32)]) {
    await expect(owner.rollback("llm", id)).rejects.toThrow(coded("NO_VERSION"));
  }
  await expect(owner.rollback("llm", "v1")).rejects.toThrow(coded("INVALID_ARGUMENT"));
  expect(await owner.rollback("llm", first.id)).toBe(first);
  expect([first.state, owner.versions().length]).toEqual(["current", 2]);
  await owner.retire("llm");
  await expect(owner.rollback("llm", first.id)).rejects.toThrow(coded("RETIRED"));
  first.unpin();
  await first.whenFreed();
});

test.each(sharings)(
  "%s: no room for both says what is needed and free, and the current one is unharmed",
  async (sharing) => {
    const machine = hostMachine({ memory: "24M", devices: 1 });
    const { owner, socket } = await startHostOwner(machine, folder);
    const first = await owner.call<Version>("load", "llm", block(16 * MIB, 1), { sharing });
    const worker = await startHostWorker(machine);
    const key = await worker.call<number>("attach", "llm", { socket });
    const inUse = await machine.memoryInUse();
    await expect(owner.call("load", "llm", block(16 * MIB, 2), { sharing })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_OUT_OF_MEMORY",
      message: expect.stringMatching(/version 1 of "llm"/),
      details: { neededBytes: 16 * MIB, freeBytes: 8 * MIB, totalBytes: 24 * MIB, heldBytes: 16 * MIB },
    });
    expect(await machine.memoryInUse()).toBe(inUse);
    expect(await owner.call("versions")).toMatchObject([{ id: first.id, state: "current", refCount: 1 }]);
    expect(await worker.call("computeChecksum", key)).toBe(first.checksum);
    // What does fit is published.
    await owner.call("load", "llm", block(4 * MIB, 3), { sharing });
    expect(await worker.event("superseded")).toMatchObject({ key });
  },
);
