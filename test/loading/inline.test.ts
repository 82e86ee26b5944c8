// A load in this process: what it does beside the filling of the memory, and what it waits for.
import "../helpers/on-host-driver.js";
import { readFileSync, utimesSync } from "node:fs";
import { afterEach, describe, expect, test, vi } from "vitest";
import { contentChecksum } from "../../dist/lib/loading/identity.js";
import { loadersGone, loadWeights } from "../../dist/lib/loading/load.js";
import { closeSlab } from "../../dist/lib/loading/owned-slab.js";
import type { TensorEntry } from "../../dist/lib/loading/plan.js";
import { native } from "../../dist/lib/native.js";
import { hostMachine, startHostOwner } from "../helpers/host.js";
import { block, folder, MIB, modelFile, startOwner } from "../helpers/sharing.js";

const two = { a: new Uint8Array(300).fill(1), b: new Uint8Array(3 * MIB).fill(2) };
const apart = ({ name }: { name: string }) => (name === "a" ? 0 : 1);

afterEach(async () => {
  vi.restoreAllMocks();
  await loadersGone();
});

/** Device memory that this process has mapped. */
const mapped = () => readFileSync("/proc/self/maps", "utf8").match(/\/memfd:cuda-ipc-host\b/g)?.length ?? 0;

test("the devices are asked once", async () => {
  const devices = vi.spyOn(native, "devices");
  const { slabs } = await loadWeights(two, { loading: "inline", device: apart });
  expect(devices).toHaveBeenCalledTimes(1);
  const known = await native.devices();
  expect(slabs.map(({ device }) => device)).toEqual([known[0]!.uuid, known[1]!.uuid]);
  await Promise.all(slabs.map(closeSlab));
});

test("of bad input is told first, also where there is no device", async () => {
  const { owner } = await startHostOwner(hostMachine(), folder, {
    faults: "cuInit:*=999",
    options: { loading: "inline" },
  });
  const missing = owner.call("load", "set", "/no/such/file");
  await expect(missing).rejects.toMatchObject({ code: "ERR_CUDA_IPC_FILE" });
  await expect(owner.call("load", "set", block(1))).rejects.toMatchObject({ cudaName: "CUDA_ERROR_UNKNOWN" });
});

describe("when it resolves", () => {
  test("nothing of it is mapped any more, however many slabs there are", async () => {
    const before = mapped();
    const { slabs } = await loadWeights(two, { loading: "inline", sharing: "vmm", device: apart });
    expect(mapped()).toBe(before);
    await Promise.all(slabs.map(closeSlab));
  });

  test("every slab's unmapping has been waited for", async () => {
    const { createSlab } = native;
    let open = 0;
    vi.spyOn(native, "createSlab").mockImplementation(async (options) => {
      const slab = await createSlab(options);
      open++;
      const close = slab.close.bind(slab);
      const late = async () => {
        await new Promise(setImmediate);
        await close();
        open--;
      };
      return Object.defineProperty(slab, "close", { value: late });
    });
    const { slabs } = await loadWeights(two, { loading: "inline", sharing: "vmm", device: apart });
    expect(open).toBe(0);
    await Promise.all(slabs.map(closeSlab));
  });

  test("the file has been looked at after the last byte was read", async () => {
    const file = await modelFile(MIB);
    const { load } = native;
    vi.spyOn(native, "load").mockImplementation(async (options) => {
      const result = await load(options);
      utimesSync(file, 1, 1);
      return result;
    });
    const before = mapped();
    const changed = loadWeights(file, { loading: "inline" });
    await expect(changed).rejects.toMatchObject({ code: "ERR_CUDA_IPC_FILE_CHANGED" });
    expect(mapped()).toBe(before);
  });
});

describe("the list of tensors", () => {
  test("is known before their bytes are there", async () => {
    for (const loading of ["inline", "process"] as const) {
      const order: string[] = [];
      let told: readonly TensorEntry[] = [];
      const { load } = native;
      vi.spyOn(native, "load").mockImplementation(async (options) => {
        const result = await load(options);
        order.push("filled");
        return result;
      });
      const { slabs, tensors } = await loadWeights(two, {
        loading,
        device: apart,
        onTensors: (tensors) => {
          told = tensors;
          order.push("told");
        },
      });
      order.push("loaded");
      expect(order).toEqual(
        loading === "inline" ? ["told", "filled", "filled", "loaded"] : ["told", "loaded"],
      );
      expect(told).toBe(tensors);
      await Promise.all(slabs.map(closeSlab));
    }
  });

  test("that is refused ends the filling, and is told when that has ended", async () => {
    const reason = new Error("too long");
    const { load, createCancel } = native;
    const order: string[] = [];
    vi.spyOn(native, "createCancel").mockImplementation(() => {
      const cancel = createCancel();
      const original = cancel.cancel.bind(cancel);
      const told = () => {
        order.push("cancelled");
        original();
      };
      return Object.defineProperty(cancel, "cancel", { value: told });
    });
    vi.spyOn(native, "load").mockImplementation((options) =>
      load(options).finally(() => {
        order.push("ended");
      }),
    );
    for (const loading of ["inline", "process"] as const) {
      const onTensors = () => {
        throw reason;
      };
      await expect(loadWeights(block(64 * MIB), { loading, onTensors })).rejects.toBe(reason);
    }
    expect(order).toEqual(["cancelled", "ended"]);
  });

  test.each(["inline", "process"] as const)(
    "that is too long for the protocol is refused (%s)",
    async (loading) => {
      const owner = await startOwner({ loading });
      const names = Array.from({ length: 3000 }, (_, index) => `${"x".repeat(6000)}${index}`);
      const tensors = Object.fromEntries(names.map((name) => [name, Uint8Array.of(1)]));
      await expect(owner.load("set", tensors)).rejects.toMatchObject({
        code: "ERR_CUDA_IPC_FRAME_LIMIT",
        details: { tensors: 3000 },
      });
      expect(owner.versions()).toEqual([]);
    },
  );
});

// Journals and peers of other releases hold such digests.
test("the identity of a content is what it was", () => {
  const tensors: TensorEntry[] = [
    { name: "a", dtype: "F32", shape: [2, 3], slab: 0, offset: 0, bytes: 24 },
    { name: 'b"é', dtype: "U8", shape: [], slab: 1, offset: 256, bytes: 1 },
  ];
  expect(contentChecksum(tensors, [Buffer.alloc(16, 1), Buffer.alloc(16, 2)])).toBe(
    "2a9e582a34a11dc5cbbbe92e8f8e1d81",
  );
});
