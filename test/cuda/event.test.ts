import { describe, expect, test } from "vitest";
import {
  cudaEventElapsedTime,
  cudaEventQuery,
  cudaFree,
  cudaIpcGetEventHandle,
  cudaIpcOpenEventHandle,
  cudaMalloc,
  cudaMemsetAsync,
  cudaStreamQuery,
  cudaStreamWaitEvent,
  Event,
  handleToBase64,
  Stream,
} from "../../dist/lib/cuda/index.js";
import { startChild } from "../helpers/child.js";

test("an event is done when the work before it is", async () => {
  await using stream = await Stream.create();
  await using start = await Event.create();
  await using end = await Event.create();
  expect(cudaEventQuery(start)).toBe(true);
  const pointer = await cudaMalloc(1 << 20);
  start.record(stream);
  const set = cudaMemsetAsync(pointer, 1, 1 << 20, { stream });
  end.record(stream);
  await end.synchronize();
  expect(end.query()).toBe(true);
  expect(cudaEventElapsedTime(start, end)).toBeGreaterThanOrEqual(0);
  await set;
  await stream.synchronize();
  expect(cudaStreamQuery(stream)).toBe(true);
  await cudaFree(pointer);
});

test("one stream waits for another's event", async () => {
  await using first = await Stream.create();
  await using second = await Stream.create({ nonBlocking: false });
  await using event = await Event.create({ timing: false });
  event.record(first);
  cudaStreamWaitEvent(second, event);
  event.record();
  await second.synchronize();
});

test("streams and events are disposed once, and say so", async () => {
  const stream = await Stream.create();
  const event = await Event.create();
  expect(stream.handle).toBeGreaterThan(0n);
  expect(stream.device).toBe(0);
  const pending = stream.synchronize();
  await Promise.all([stream.dispose(), stream.dispose(), event.dispose()]);
  await pending;
  expect([stream.disposed, event.disposed]).toEqual([true, true]);
  const closed = expect.objectContaining({ code: "ERR_CUDA_IPC_CLOSED" });
  expect(() => stream.query()).toThrow(closed);
  expect(() => event.record()).toThrow(closed);
  await expect(stream.synchronize()).rejects.toMatchObject({ code: "ERR_CUDA_IPC_CLOSED" });
});

describe("between processes", () => {
  test("an event recorded there is waited for here", async () => {
    const child = startChild("raw.cjs");
    const theirs = await child.call<number>("createEvent", { interprocess: true });
    await using event = await cudaIpcOpenEventHandle(await child.call<string>("eventHandle", theirs));
    await child.call("recordEvent", theirs);
    await event.synchronize();
    expect(event.query()).toBe(true);
    await using stream = await Stream.create();
    stream.waitEvent(event);
    await stream.synchronize();
  });

  test("and the other way", async () => {
    const child = startChild("raw.cjs");
    await using event = await Event.create({ interprocess: true });
    const handle = cudaIpcGetEventHandle(event);
    expect(handle).toHaveLength(64);
    const theirs = await child.call<number>("openEvent", handleToBase64(handle));
    event.record();
    await child.call("synchronizeEvent", theirs);
    expect(await child.call("queryEvent", theirs)).toBe(true);
    await child.call("destroyEvent", theirs);
    expect(event.query()).toBe(true);
  });

  test("an event that was not made for it has no handle", async () => {
    await using event = await Event.create();
    expect(() => event.ipcHandle()).toThrow(expect.objectContaining({ code: "ERR_CUDA_IPC_NOT_EXPORTABLE" }));
  });

  test("the event of a process that was killed is done: nobody waits for the dead", async () => {
    const child = startChild("raw.cjs");
    const handle = await child.call<string>(
      "eventHandle",
      await child.call("createEvent", { interprocess: true }),
    );
    child.kill("SIGKILL");
    await child.exited;
    await using opened = await cudaIpcOpenEventHandle(handle);
    await opened.synchronize();
    expect(opened.query()).toBe(true);
  });
});
