// Plain JavaScript has no compiler to find a misspelled option: every entry point refuses one, and says which it knows.
import path from "node:path";
import { expect, test } from "vitest";
import { didYouMean } from "../dist/lib/did-you-mean.js";
import * as api from "../dist/lib/index.js";
import { watchOwner } from "./helpers/leaks.js";
import { folder, someTensors } from "./helpers/sharing.js";
import { newSocket } from "./helpers/temporary.js";

type Call = (options: object) => unknown;

/** Calls with options, by name, and an option that each has. */
async function refusesUnknown(calls: Record<string, [known: string, call: Call]>): Promise<void> {
  for (const [name, [known, call]] of Object.entries(calls)) {
    const misspelled = `${known}x`;
    const attempt = async (options: unknown) => call(options as object);
    await expect(attempt({ [misspelled]: undefined }), name).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
      message: expect.stringMatching(
        new RegExp(`^Expected only .*\\b${known}\\b.* received "${misspelled}" .*Did you mean ${known}\\?$`),
      ),
    });
    await expect(attempt(null), name).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
      message: expect.stringMatching(/^Expected an object for (options|limits), but received null/),
    });
  }
}

test("functions", async () => {
  const socket = newSocket(folder);
  const file = path.join(folder, "never.safetensors");
  await refusesUnknown({
    attach: ["access", (options) => api.attach("llm", options)],
    follow: ["prepare", (options) => api.follow("llm", options)],
    ownerStatus: ["timeout", (options) => api.ownerStatus(options)],
    openCheckpoint: ["signal", (options) => api.openCheckpoint(file, options)],
    writeSafetensors: ["metadata", (options) => api.writeSafetensors(file, [], options)],
    earlyStart: ["device", (options) => api.earlyStart(options)],
    "Owner.listen": ["allowUids", (options) => api.Owner.listen(options)],
    "Owner.listen: limits": ["leases", (limits) => api.Owner.listen({ socket, limits: limits as never })],
    "Owner.standby": ["recoveryDeadline", (options) => api.Owner.standby(options)],
    "Owner.takeOver": ["signal", (options) => api.Owner.takeOver(options)],
  });
});

test("whoever passes arguments on can name their types", () => {
  const written: [api.TensorToWrite[], api.WriteOptions] = [[], { metadata: {} }];
  const opened: (checkpoint: api.Checkpoint) => string = ({ contentKey }) => contentKey;
  const released: (after: api.After) => api.ReleaseOptions = (after) => ({ after });
  expect([written, opened, released].length).toBe(3);
});

test("an option of another entry point is unknown", async () => {
  const attempts = [
    () => api.follow("llm", { version: "0".repeat(32) } as never),
    () => api.Owner.standby({ orStandby: true } as never),
    () => api.Owner.takeOver({ orStandby: true } as never),
    () => api.Owner.listen({ signal: undefined } as never),
  ];
  for (const attempt of attempts) {
    await expect(attempt()).rejects.toMatchObject({ code: "ERR_CUDA_IPC_INVALID_ARGUMENT" });
  }
});

test("methods", async () => {
  const owner = watchOwner(await api.Owner.listen({ socket: newSocket(folder) }));
  await owner.load("llm", someTensors(), { writable: true });
  const { socket } = owner;
  const weights = await api.attach("llm", { socket });
  const lock = await weights.lock("name");
  await refusesUnknown({
    "owner.load": ["ifChanged", (options) => owner.load("llm", someTensors(), options)],
    "owner.close": ["restart", (options) => owner.close(options)],
    "weights.latest": ["timeout", (options) => weights.latest(options)],
    "weights.lock": ["timeout", (options) => weights.lock("other", options)],
    "weights.release": ["after", (options) => weights.release(options)],
    "lock.release": ["after", (options) => lock.release(options)],
  });
  // Nothing of it was done.
  expect([weights.disposed, lock.held, owner.versions().length]).toEqual([false, true, 1]);
  await lock.release();
  await weights.release();
});

test("the raw layer", async () => {
  const stream = await api.cudaStreamCreate();
  const event = await api.cudaEventCreate();
  const module = await api.builtinModule();
  const kernel = await module.function("cuda_ipc_fill_u32");
  const allocation = await api.VmmAllocation.create(1);
  const handle = Buffer.alloc(64);
  const shared = { handle, offset: 0, bytes: 1, deviceUuid: "GPU" };
  await refusesUnknown({
    cudaMalloc: ["device", (options) => api.cudaMalloc(1, options)],
    "Stream.create": ["nonBlocking", (options) => api.Stream.create(options)],
    "stream.synchronize": ["signal", (options) => stream.synchronize(options)],
    "Event.create": ["interprocess", (options) => api.Event.create(options)],
    "event.synchronize": ["signal", (options) => event.synchronize(options)],
    "Module.load": ["signal", (options) => api.Module.load(0, "", options)],
    builtinModule: ["signal", (options) => api.builtinModule(0, options)],
    "kernel.launch": ["sharedBytes", (options) => kernel.launch(options as never)],
    openShared: ["signal", (options) => api.openShared(shared, options)],
    shareable: ["bytes", (options) => api.shareable(1n, options)],
    "VmmAllocation.create": ["device", (options) => api.VmmAllocation.create(1, options)],
    "allocation.dispose": ["after", (options) => allocation.dispose(options)],
  });
  await allocation.dispose();
  await event.dispose();
  await stream.dispose();
});

test("who is near is meant, and nobody else", () => {
  const known = ["socket", "timeout", "signal"];
  expect(didYouMean("scoket", known)).toBe("socket");
  expect(didYouMean("timeOut", known)).toBe("timeout");
  expect(didYouMean("sig", known)).toBeUndefined();
  expect(didYouMean("devices", known)).toBeUndefined();
});
