// Loads that fail, are aborted, or lose their process: an error that says so, and nothing left of them. That no
// descriptor, mapping, device memory or process is left is looked at after every test.
import "../helpers/on-host-driver.js";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { LoadProgress, Owner } from "../../dist/lib/index.js";
import { loadersGone } from "../../dist/lib/loading/load.js";
import { block, folder, MIB, startOwner, startWorker } from "../helpers/sharing.js";
import { injectInLoaders, slowCopies, stuckCopies } from "./faults.js";
import { loaderOf, loadersOf } from "./loaders.js";

const CUDA_ERROR_LAUNCH_FAILED = 719;

afterEach(async () => {
  await loadersGone();
  expect(loadersOf()).toEqual([]);
});

/** `begun` resolves at the load's first progress. */
function longLoad(owner: Owner, copies: string, options: { signal?: AbortSignal } = {}) {
  injectInLoaders(copies);
  let begin!: () => void;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const loading = owner.load("slow", block(40 * MIB), { ...options, threads: 1, onProgress: begin });
  // Who waits for the progress may be late for the failure.
  loading.catch(() => {});
  return { loading, begun };
}

/** The set is what it was, and can be loaded. */
async function expectUsable(owner: Owner): Promise<void> {
  injectInLoaders("");
  expect(owner.current("slow")).toBeUndefined();
  expect((await owner.load("slow", block(3 * MIB))).refCount).toBe(0);
}

test("progress: begins, grows and ends with everything", async () => {
  const owner = await startOwner();
  const seen: LoadProgress[] = [];
  injectInLoaders(slowCopies);
  await owner.load("set", block(20 * MIB), {
    onProgress: (progress) => seen.push(progress),
    threads: 1,
  });
  expect(seen.length).toBeGreaterThan(2);
  expect(seen.map(({ bytes }) => bytes)).toEqual(seen.map(({ bytes }) => bytes).sort((a, b) => a - b));
  expect(seen[0]!.bytes).toBeLessThan(20 * MIB);
  expect(seen.at(-1)).toMatchObject({ bytes: 20 * MIB, totalBytes: 20 * MIB });
  for (const { rate } of seen) expect(rate).toBeGreaterThan(0);
});

describe("what was wrong is said by its code", () => {
  test("a file that is none", async () => {
    const owner = await startOwner();
    const file = path.join(folder, "broken.safetensors");
    writeFileSync(file, Buffer.alloc(100, 7));
    await expect(owner.load("set", file)).rejects.toMatchObject({ code: "ERR_CUDA_IPC_FORMAT" });
    await expect(owner.load("set", `${file}.missing`)).rejects.toMatchObject({ code: "ERR_CUDA_IPC_FILE" });
    await expect(owner.load("set", {})).rejects.toMatchObject({ code: "ERR_CUDA_IPC_EMPTY" });
  });

  test("arguments", async () => {
    const owner = await startOwner();
    await expect(owner.load("set", { "\ud800": Uint8Array.of(1) })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
      message: expect.stringContaining("unpaired surrogates"),
    });
    await expect(owner.load("set", block(1), { device: 77 })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_INVALID_DEVICE",
      details: { device: 77 },
    });
    await expect(owner.load("set", block(1), { device: -1 })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
    });
    await expect(owner.load("set", block(1), { sharing: "other" as "vmm" })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
    });
    await expect(startOwner({ loading: "elsewhere" as "inline" })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
    });
  });

  test("a failure of the driver, in the loader alone", async () => {
    const owner = await startOwner();
    for (const call of ["cuInit", "cuMemCreate", "cuMemMap", "cuMemcpyHtoDAsync", "cuLaunchKernel"]) {
      injectInLoaders(`${call}:*=${CUDA_ERROR_LAUNCH_FAILED}`);
      await expect(owner.load("slow", block(3 * MIB)), call).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_CUDA_IPC_/),
        cudaName: "CUDA_ERROR_LAUNCH_FAILED",
        cudaResult: CUDA_ERROR_LAUNCH_FAILED,
        call,
      });
    }
    await expectUsable(owner);
  });

  test("a program that cannot be started, or that ends at once", async () => {
    const owner = await startOwner();
    const { execPath } = process;
    try {
      process.execPath = path.join(folder, "no such program");
      await expect(owner.load("slow", block(1))).rejects.toMatchObject({
        code: "ERR_CUDA_IPC_LOADER_START",
        call: expect.stringContaining("spawn"),
      });
      process.execPath = path.join(folder, "failing");
      writeFileSync(process.execPath, "#!/bin/sh\necho out of luck >&2\nexit 3\n", { mode: 0o700 });
      await expect(owner.load("slow", block(1))).rejects.toMatchObject({
        code: "ERR_CUDA_IPC_LOADER_DIED",
        message: expect.stringContaining("out of luck"),
        details: { exitCode: 3, signal: null },
      });
    } finally {
      process.execPath = execPath;
    }
    await expectUsable(owner);
  });

  test("a program that says something else, or nothing any more, and does not end", async () => {
    const owner = await startOwner();
    const { execPath } = process;
    try {
      process.execPath = path.join(folder, "stranger");
      for (const [says, code] of [
        ["printf '\\001\\000\\000\\000x' >&3", "ERR_CUDA_IPC_PROTOCOL"],
        ["exec 3>&-", "ERR_CUDA_IPC_LOADER_DIED"],
      ]) {
        writeFileSync(process.execPath, `#!/bin/sh\n${says}\nexec sleep 600\n`, { mode: 0o700 });
        await expect(owner.load("slow", block(1))).rejects.toMatchObject({ code });
      }
    } finally {
      process.execPath = execPath;
    }
    await expectUsable(owner);
  });
});

describe("a loader that is killed", () => {
  const died = { code: "ERR_CUDA_IPC_LOADER_DIED", details: { exitCode: null, signal: "SIGKILL" } };

  test.each([
    "cuInit",
    "cuMemCreate",
    "cuMemMap",
    "cuMemExportToShareableHandle",
    "cuMemcpyHtoDAsync",
    "cuLaunchKernel",
    "cuMemUnmap",
  ])("in %s", async (call) => {
    const owner = await startOwner();
    injectInLoaders(`${call}:1=kill`);
    await expect(owner.load("slow", block(5 * MIB))).rejects.toMatchObject(died);
    await expectUsable(owner);
  });

  test("before it has said anything", async () => {
    const owner = await startOwner();
    const loading = owner.load("slow", block(3 * MIB));
    loading.catch(() => {});
    process.kill(await loaderOf(), "SIGKILL");
    await expect(loading).rejects.toMatchObject(died);
    await expectUsable(owner);
  });

  test("in the middle of its copies, while a worker uses the version before", async () => {
    const owner = await startOwner();
    const before = await owner.load("slow", { value: Uint8Array.of(1, 2, 3) });
    const worker = await startWorker();
    const key = await worker.call<number>("attach", "slow", { socket: owner.socket });
    const { loading, begun } = longLoad(owner, stuckCopies);
    await begun;
    process.kill(await loaderOf(), "SIGKILL");
    await expect(loading).rejects.toMatchObject(died);
    expect(owner.current("slow")).toBe(before);
    expect(await worker.call("read", key, "value")).toEqual(Buffer.from([1, 2, 3]));
    await worker.call("release", key);
  });
});

test("an interrupt from the terminal is the owner's to act on", async () => {
  const owner = await startOwner();
  const { loading, begun } = longLoad(owner, slowCopies);
  await begun;
  process.kill(await loaderOf(), "SIGINT");
  expect((await loading).number).toBe(1);
});

describe("an abort", () => {
  const reason = new Error("enough");

  test.each<[string, (begun: Promise<void>) => Promise<unknown>]>([
    ["at once", async () => {}],
    ["when the process is there", () => loaderOf()],
    ["in the middle of the copies", (begun) => begun],
  ])("%s", async (_, moment) => {
    const owner = await startOwner();
    const controller = new AbortController();
    const { loading, begun } = longLoad(owner, stuckCopies, { signal: controller.signal });
    await moment(begun);
    controller.abort(reason);
    await expect(loading).rejects.toBe(reason);
    expect(loadersOf()).toEqual([]);
    await expectUsable(owner);
  });

  test("of a loader that hangs in the driver", async () => {
    const owner = await startOwner();
    const controller = new AbortController();
    injectInLoaders("cuMemCreate:1=hang");
    const loading = owner.load("slow", block(3 * MIB), { signal: controller.signal });
    loading.catch(() => {});
    await loaderOf();
    controller.abort(reason);
    await expect(loading).rejects.toBe(reason);
    await expectUsable(owner);
  });

  test("of a loader that is stopped", async () => {
    const owner = await startOwner();
    const controller = new AbortController();
    const { loading, begun } = longLoad(owner, stuckCopies, { signal: controller.signal });
    await begun;
    process.kill(await loaderOf(), "SIGSTOP");
    controller.abort(reason);
    await expect(loading).rejects.toBe(reason);
    await expectUsable(owner);
  });
});

test("owner.close() ends a load that is under way, and its process", async () => {
  const owner = await startOwner();
  const { loading, begun } = longLoad(owner, stuckCopies);
  await begun;
  await owner.close();
  expect(loadersOf()).toEqual([]);
  await expect(loading).rejects.toMatchObject({ code: "ERR_CUDA_IPC_CLOSED" });
});

test("when close() has returned, the process of a load that was done is gone, too", async () => {
  const owner = await startOwner();
  await owner.load("set", block(MIB));
  await owner.close();
  expect(loadersOf()).toEqual([]);
});

test("the event loop goes on during a load", async () => {
  const owner = await startOwner();
  const { loading, begun } = longLoad(owner, slowCopies);
  await begun;
  let done = false;
  void loading.finally(() => {
    done = true;
  });
  const began = performance.now();
  let longest = 0;
  for (let last = began; !done; ) {
    await new Promise(setImmediate);
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }
  // The load takes as long as its copies do; no turn takes a large part of that.
  expect(longest).toBeLessThan((performance.now() - began) / 2);
});
