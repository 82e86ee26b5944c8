// The owner's process is killed: in the middle of a load, and with workers at work.
import { expect, test } from "vitest";
import { startChild } from "../helpers/child.js";
import { hostMachine, startHostOwner } from "../helpers/host.js";
import { expectMemoryBack, freeMemory } from "../helpers/memory.js";
import {
  folder,
  MIB,
  modelFile,
  sharings,
  someTensors,
  startOwner,
  startWorker,
} from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

test.each(sharings)("%s: killed while it loads, it leaves nothing", async (sharing) => {
  const before = await freeMemory();
  const owner = startChild("owner.cjs");
  const socket = newSocket(folder);
  await owner.call("listen", { socket });
  owner.call("loadTellingProgress", "llm", await modelFile(256 * MIB), { sharing }).catch(() => {});
  await owner.event("progress");
  owner.kill("SIGKILL");
  await owner.exited;
  await expectMemoryBack(before);
  await startOwner({ socket });
});

test.each(sharings)("%s: killed in a copy to the device that never ends", async (sharing) => {
  const machine = hostMachine();
  // Late enough that one of up to ten threads has seen a copy end, which it looks at when it needs the chunk again.
  const { owner } = await startHostOwner(machine, folder, { faults: "cuMemcpyHtoDAsync:24-=hang" });
  owner.call("loadTellingProgress", "llm", await modelFile(128 * MIB), { sharing }).catch(() => {});
  await owner.event("progress");
  expect(await machine.memoryInUse()).toBeGreaterThanOrEqual(128 * MIB);
  owner.kill("SIGKILL");
  await owner.exited;
  await machine.expectEmpty();
});

test.each(sharings)("%s: killed, its workers keep what they have mapped", async (sharing) => {
  const before = await freeMemory();
  const owner = startChild("owner.cjs");
  const socket = newSocket(folder);
  await owner.call("listen", { socket });
  const { checksum } = await owner.call<{ checksum: string }>("load", "llm", someTensors(), { sharing });
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket });
  const second = await worker.call<number>("attach", "llm", { socket });
  owner.kill("SIGKILL");
  expect(await worker.event("ownerlost")).toMatchObject({ key });
  expect(await worker.call("computeChecksum", key)).toBe(checksum);
  const late = await startWorker();
  await expect(late.call("attach", "llm", { socket, timeout: 300 })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_TIMEOUT",
  });
  await worker.call("release", key);
  expect(await worker.call("computeChecksum", second)).toBe(checksum);
  await worker.call("release", second);
  // What is left of them is their contexts.
  for (const child of [worker, late]) {
    child.kill();
    await child.exited;
  }
  await expectMemoryBack(before);
});
