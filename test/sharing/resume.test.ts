// What a process tells an owner that is new to it, when it cannot do so at once.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Attachment } from "../../dist/lib/sharing/attachment.js";
import { randomId } from "../../dist/lib/sharing/ids.js";
import { resumeLeases } from "../../dist/lib/sharing/resume.js";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A process with one lease, and an owner that misses its memory. */
function recovering(offer: () => Promise<unknown>) {
  const [version, lease] = [randomId(), randomId()];
  const slab = { id: randomId(), uuid: "0", bytes: 4096, fd: { fd: 7 } };
  const attachment = {
    lease,
    portable: true,
    slabs: [slab],
    tensors: { all: () => [] },
    version: { id: version },
  };
  const request = vi.fn(async (type: string) => {
    if (type === "offer") return offer();
    return { message: { kept: [lease] } };
  });
  const line = { welcome: Promise.resolve({ wanted: [version], recovering: true }), request };
  const answers = new Map<string, boolean>();
  const resumed = resumeLeases(line as never, {
    held: () => [attachment as unknown as Attachment],
    granted: new Set(),
    debts: new Set(),
    onAnswer: (id, kept) => answers.set(id, kept),
  });
  resumed.catch(() => {});
  return { lease, answers, resumed, asked: () => request.mock.calls.map(([type]) => type) };
}

const atLimit = Object.assign(new Error("no descriptors"), { code: "ERR_CUDA_IPC_FD_LIMIT" });

test("a process at its limit of descriptors offers its memory again, and keeps the owner waiting for it", async () => {
  let free = false;
  const { lease, answers, resumed, asked } = recovering(async () => {
    if (!free) throw atLimit;
    return { message: { accepted: true, kept: [lease], reason: null } };
  });
  await vi.advanceTimersByTimeAsync(5000);
  expect(asked().length).toBeGreaterThan(3);
  // With its last lease the owner would take the memory for lost.
  expect(asked()).not.toContain("reclaim");
  free = true;
  await vi.advanceTimersByTimeAsync(1000);
  await resumed;
  expect([...answers]).toEqual([[lease, true]]);
});

test("it does not keep the owner waiting for good", async () => {
  const { lease, answers, resumed, asked } = recovering(() => Promise.reject(atLimit));
  await vi.advanceTimersByTimeAsync(60_000);
  await resumed;
  expect(asked().at(-1)).toBe("reclaim");
  expect([...answers]).toEqual([[lease, true]]);
});

test("a refusal is final", async () => {
  const refusal = Object.assign(new Error("refused"), { code: "ERR_CUDA_IPC_OFFER_REFUSED" });
  const { resumed, asked } = recovering(() => Promise.reject(refusal));
  await resumed;
  expect(asked()).toEqual(["offer", "reclaim"]);
});
