// Memory is unmapped only when the work that uses it is done.
import { expect, test } from "vitest";
import { block, MIB, sharings, startOwner, startWorker } from "../helpers/sharing.js";

// Enough for the work to be under way still when the release begins, whatever the device.
const bytes = 64 * MIB;
const launches = 40;

for (const sharing of sharings) {
  test.each(["default", "stream", "event"])(
    `${sharing}: release after %s waits for the work`,
    async (after) => {
      const owner = await startOwner();
      await owner.load("llm", block(bytes), { sharing, writable: true });
      const worker = await startWorker();
      const key = await worker.call<number>("attach", "llm", { socket: owner.socket, access: "readwrite" });
      const { pendingAtRelease, doneAfterRelease } = await worker.call<Record<string, boolean>>(
        ...["releaseUnderWork", key, "block", after, launches],
      );
      expect(pendingAtRelease).toBe(true);
      expect(doneAfterRelease).toBe(true);
    },
  );
}

test.each(["stream", "event"])("and for no other work after a given %s", async (after) => {
  const owner = await startOwner();
  await owner.load("llm", block(16));
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket: owner.socket });
  expect(await worker.call("releaseBesideWork", key, bytes, after, launches)).toBe(false);
});

test("what is being read while it is released is read to its end", async () => {
  const owner = await startOwner();
  await owner.load("llm", block(bytes, 7));
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket: owner.socket });
  const reading = worker.call<Buffer>("read", key, "block");
  await worker.call("release", key);
  expect((await reading).equals(Buffer.alloc(bytes, 7))).toBe(true);
});

test("another lease's work goes on", async () => {
  const owner = await startOwner();
  await owner.load("llm", block(bytes), { writable: true });
  const worker = await startWorker();
  const options = { socket: owner.socket, access: "readwrite" };
  const [busy, idle] = [
    await worker.call<number>("attach", "llm", options),
    await worker.call<number>("attach", "llm", options),
  ];
  const working = worker.call("releaseUnderWork", busy, "block", "stream", launches);
  expect(await worker.call<Buffer>("read", idle, "block")).toHaveLength(bytes);
  await working;
  expect(await worker.call<Buffer>("read", idle, "block")).toHaveLength(bytes);
});

test("something else to wait for is refused, and nothing is released", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", block(16));
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket: owner.socket });
  await expect(worker.call("releaseAfter", key, {})).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
  });
  expect(version.refCount).toBe(1);
});
