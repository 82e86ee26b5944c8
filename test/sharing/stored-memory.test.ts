// The service manager's store, when the manager cannot be told: nothing stays in it for good.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type NativeFd, native } from "../../dist/lib/native.js";
import { randomId } from "../../dist/lib/sharing/ids.js";
import { newOwnerParts } from "../../dist/lib/sharing/owner-state.js";
import { StoredMemory } from "../../dist/lib/sharing/service-manager/stored-memory.js";

const busy = Object.assign(new Error("busy"), { code: "ERR_CUDA_IPC_SERVICE_MANAGER" });

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
});

test("a removal that could not be sent is tried again, and the version is free when it was", async () => {
  const parts = newOwnerParts(undefined);
  const keeper = "service manager";
  const room = { capacity: 8, used: 0 };
  const manager = {
    ...{ keeper, room, takeStored: () => new Map() },
    names: { of: ({ id }: { id: string }) => [`tensors.${id}`, `slab.${id}`] },
  };
  let reads = true;
  const line = {
    store: vi.fn(async (_: string, fd: NativeFd) => fd.close()),
    remove: vi.fn(async (_: string) => {
      if (!reads) throw busy;
    }),
    barrier: vi.fn(async () => {}),
  };
  const errors: unknown[] = [];
  const stored = new StoredMemory(manager as never, line as never, parts, {
    onError: (error) => errors.push(error),
    onRefused: () => {},
  });
  stored.begin(undefined);
  const id = randomId();
  const tensor = { name: "t", dtype: "U8" as const, shape: [8], slab: 0, offset: 0, bytes: 8 };
  parts.catalog.publish({ id, set: "set", writable: false, pinned: false, source: "" }, "vmm", {
    ...{ sharing: "vmm", tensors: [tensor], checksum: randomId(), contentKey: "", source: "" },
    slabs: [{ id: randomId(), device: "0", bytes: 8, sharing: "vmm", fd: native.createMemfd("slab", 8) }],
  });
  await vi.waitFor(() => expect(line.store).toHaveBeenCalledTimes(2));
  expect([stored.size, room.used]).toEqual([1, 2]);

  reads = false;
  const { retired, ...effects } = parts.ledger.retire("set");
  parts.catalog.apply(effects);
  await vi.waitFor(() => expect(errors).toContain(busy));
  await parts.catalog.settled();
  expect(parts.ledger.version(id)).toMatchObject({ state: "released", keepers: [keeper] });
  expect([stored.size, room.used]).toEqual([1, 2]);

  reads = true;
  line.remove.mockClear();
  vi.advanceTimersByTime(5000);
  await vi.waitFor(() => expect(parts.ledger.version(id)).toBeUndefined());
  expect(line.remove.mock.calls.map(([name]) => name)).toEqual([`tensors.${id}`, `slab.${id}`]);
  expect([stored.size, room.used]).toEqual([0, 0]);
  await stored.letGo();
});
