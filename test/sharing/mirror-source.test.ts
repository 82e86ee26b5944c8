// A standby that cannot be told something is the owner's least concern.
import { afterEach, expect, test, vi } from "vitest";
import { CudaIpcError } from "../../dist/lib/errors.js";
import { type NativeFd, native } from "../../dist/lib/native.js";
import { MirrorSource } from "../../dist/lib/sharing/mirror-source.js";
import { newOwnerParts } from "../../dist/lib/sharing/owner-state.js";
import type { ServerConnection } from "../../dist/lib/wire/server.js";

const fds: NativeFd[] = [];
afterEach(() => {
  for (const fd of fds.splice(0)) fd.close();
});

const id = (n: number) => n.toString(16).padStart(32, "0");
const limit = new CudaIpcError("ERR_CUDA_IPC_FD_LIMIT", "no descriptor is left to send it with");

/** An owner whose standby gets no memory: its queue is full, and so is the table of descriptors. */
function setUp() {
  const parts = newOwnerParts(undefined);
  const publish = (n: number) => {
    const fd = native.createMemfd("slab", 4096);
    fds.push(fd);
    const slab = { id: id(n), device: "0", bytes: 4096, sharing: "vmm" as const, fd };
    const facts = { id: id(100 + n), set: "llm", writable: false, pinned: true, source: "" };
    return parts.catalog.publish(facts, "vmm", {
      ...{ sharing: "vmm", slabs: [slab], tensors: [], checksum: id(n), source: "", contentKey: null },
    }).entry;
  };
  const notify = vi.fn((type: string) => {
    if (type === "mirrorMemory") throw limit;
  });
  const fail = vi.fn();
  const connection = { notify, fail, closed: false } as unknown as ServerConnection;
  return { parts, publish, connection, fail, source: new MirrorSource(parts) };
}

const settled = () => new Promise(setImmediate);

test("what there is already cannot be sent: the standby is disconnected with the reason", async () => {
  const { publish, connection, fail, source } = setUp();
  publish(1);
  expect(source.open(1, connection, "standby")).toMatchObject({ body: { memories: 1 } });
  await settled();
  expect(fail.mock.calls).toEqual([[limit]]);
});

test("whoever is sent memory is known to the journal as its keeper by then", async () => {
  const { parts, publish, connection, source } = setUp();
  const written: string[] = [];
  parts.log.subscribe((changes) => written.push(...changes.map(({ op }) => op)));
  vi.mocked(connection.notify).mockImplementation((type) => void written.push(type));
  publish(1);
  written.length = 0;
  source.open(1, connection, "standby");
  await settled();
  publish(2);
  await settled();
  const order = written.filter((what) => what === "keeperAdded" || what === "mirrorMemory");
  expect(order).toEqual(["keeperAdded", "mirrorMemory", "keeperAdded", "mirrorMemory"]);
});

test("a version that cannot be sent is published all the same, and everybody else hears of it", async () => {
  const { parts, publish, connection, fail, source } = setUp();
  source.open(1, connection, "standby");
  const heard: string[] = [];
  parts.log.subscribe((changes) => heard.push(...changes.map(({ op }) => op)));
  const entry = publish(1);
  expect(parts.catalog.current("llm")).toBe(entry);
  expect(heard).toContain("versionAdded");
  await settled();
  expect(fail.mock.calls).toEqual([[limit]]);
});
