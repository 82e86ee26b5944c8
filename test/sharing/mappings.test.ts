// A process maps a slab once for each way of access, however many leases it holds on it.
import { describe, expect, test } from "vitest";
import { attach } from "../../dist/lib/index.js";
import { native } from "../../dist/lib/native.js";
import type { CatalogEntry } from "../../dist/lib/sharing/catalog.js";
import { closeManifestFile } from "../../dist/lib/sharing/manifest-file.js";
import { manifestFiles } from "../helpers/manifest-files.js";
import { sharings, someTensors, startOwner, startWorker } from "../helpers/sharing.js";

describe.each(sharings)("%s", (sharing) => {
  test("many leases, one mapping, which the last release unmaps", async () => {
    const owner = await startOwner();
    await owner.load("llm", someTensors(), { sharing });
    const { socket } = owner;
    const worker = await startWorker();
    const keys = await Promise.all(
      Array.from({ length: 8 }, () => worker.call<number>("attach", "llm", { socket })),
    );
    keys.push(await worker.call<number>("retain", keys[0]));
    expect(await worker.call("mappings")).toEqual({ mappings: 1, references: 9 });
    const pointers = await Promise.all(keys.map((key) => worker.call("pointer", key, "bytes")));
    expect(new Set(pointers).size).toBe(1);
    for (const [released, key] of keys.entries()) {
      expect(await worker.call("mappings")).toEqual({ mappings: 1, references: 9 - released });
      await worker.call("release", key);
    }
    expect(await worker.call("mappings")).toEqual({ mappings: 0, references: 0 });
  });

  test("another version is another mapping", async () => {
    const owner = await startOwner();
    const { socket } = owner;
    const worker = await startWorker();
    const keys: number[] = [];
    for (const seed of [1, 2]) {
      await owner.load("llm", someTensors(seed), { sharing });
      keys.push(await worker.call<number>("attach", "llm", { socket }));
    }
    expect(await worker.call("mappings")).toEqual({ mappings: 2, references: 2 });
    for (const [index, key] of keys.entries()) {
      expect(await worker.call("toHost", key, "floats")).toEqual(someTensors(index + 1).floats);
    }
  });
});

describe("access", () => {
  async function writable(sharing: "vmm" | "ipc" = "vmm") {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing, writable: true });
    return { socket: owner.socket, version };
  }

  test("read and readwrite stand side by side, and see the same bytes", async () => {
    const { socket } = await writable();
    const worker = await startWorker();
    const reader = await worker.call<number>("attach", "llm", { socket });
    const writer = await worker.call<number>("attach", "llm", { socket, access: "readwrite" });
    expect(await worker.call("mappings")).toEqual({ mappings: 2, references: 2 });
    const data = Buffer.alloc(300, 42);
    await worker.call("write", writer, "bytes", data);
    expect(await worker.call("read", reader, "bytes")).toEqual(data);
    await worker.call("release", writer);
    expect(await worker.call("mappings")).toEqual({ mappings: 1, references: 1 });
  });

  test("what one process writes, another reads", async () => {
    const { socket, version } = await writable("ipc");
    const [writer, reader] = [await startWorker(), await startWorker()];
    const from = await reader.call<number>("attach", "llm", { socket });
    const to = await writer.call<number>("attach", "llm", { socket, access: "readwrite" });
    expect(await reader.call("computeChecksum", from)).toBe(version.checksum);
    await writer.call("write", to, "bytes", Buffer.alloc(300, 43));
    expect(await reader.call("read", from, "bytes")).toEqual(Buffer.alloc(300, 43));
    expect(await reader.call("computeChecksum", from)).not.toBe(version.checksum);
  });

  test("a read-only attach cannot write", async () => {
    const { socket } = await writable();
    const worker = await startWorker();
    const key = await worker.call<number>("attach", "llm", { socket });
    await expect(worker.call("write", key, "bytes", Buffer.alloc(300))).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_READ_ONLY",
    });
  });

  test("the device itself refuses copies into a read-only mapping", async () => {
    const { socket } = await writable();
    const worker = await startWorker();
    const key = await worker.call<number>("attach", "llm", { socket });
    await expect(worker.call("writeByPointer", key, "bytes")).rejects.toMatchObject({
      cudaName: "CUDA_ERROR_INVALID_VALUE",
    });
    expect(await worker.call("read", key, "bytes")).toEqual(someTensors().bytes);
  });

  test("what was not published as writable is not attached as such", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors());
    const worker = await startWorker();
    await expect(
      worker.call("attach", "llm", { socket: owner.socket, access: "readwrite" }),
    ).rejects.toMatchObject({ code: "ERR_CUDA_IPC_NOT_WRITABLE" });
    expect(version.refCount).toBe(0);
  });
});

test.each(sharings)(
  "%s: what is attached keeps no list of tensors open, and its owner keeps one",
  async (sharing) => {
    const owner = await startOwner();
    await owner.load("llm", someTensors(), { sharing });
    const weights = await Promise.all(
      Array.from({ length: 20 }, () => attach("llm", { socket: owner.socket })),
    );
    expect(manifestFiles()).toBe(1);
    for (const each of weights) await each.release();
    await owner.retire("llm");
    expect(manifestFiles()).toBe(0);
  },
);

test("an owner that ends keeps none open either, whoever holds its memory still", async () => {
  const owner = await startOwner();
  await owner.load("llm", someTensors(), { sharing: "vmm" });
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket: owner.socket });
  await owner.close();
  expect(manifestFiles()).toBe(0);
  expect(await worker.call("read", key, "bytes")).toEqual(someTensors().bytes);
});

test.each(sharings)(
  "%s: a manifest that does not fit undoes what is being mapped, and ends the lease",
  async (sharing) => {
    const owner = await startOwner();
    const version = await owner.load("llm", someTensors(), { sharing });
    const { catalog, server } = owner as unknown as {
      catalog: { current(set: string): { -readonly [K in "tensors"]: CatalogEntry[K] } };
      server: { shelf: { show(entry: object): void } };
    };
    const entry = catalog.current("llm");
    const { tensors } = entry;
    entry.tensors = tensors.map((tensor) => ({ ...tensor, offset: 2 ** 40 }));
    server.shelf.show(entry);
    await expect(attach("llm", { socket: owner.socket })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_PROTOCOL",
      message: expect.stringContaining("manifest is broken"),
    });
    expect(version.refCount).toBe(0);
    expect(native.mappingStatistics()).toMatchObject({ references: 0 });
    closeManifestFile(entry as Pick<CatalogEntry, "tensors">);
    entry.tensors = tensors;
    server.shelf.show(entry);
    await (await attach("llm", { socket: owner.socket })).release();
  },
);
