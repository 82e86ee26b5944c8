import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { JointAbort } from "../dist/lib/joint-abort.js";

test("the first of the signals aborts it, with its reason, and so does a call of its own", () => {
  const [one, other] = [new AbortController(), new AbortController()];
  const joint = new JointAbort([one.signal, undefined, other.signal]);
  other.abort("other");
  one.abort("one");
  joint.abort("its own");
  expect([joint.signal.aborted, joint.signal.reason]).toEqual([true, "other"]);
  const alone = new JointAbort([undefined]);
  alone.abort("its own");
  expect(alone.signal.reason).toBe("its own");
});

test("a signal that was aborted before aborts it at once", () => {
  const { signal } = new JointAbort([new AbortController().signal, AbortSignal.abort("before")]);
  expect([signal.aborted, signal.reason]).toEqual([true, "before"]);
});

test("of many that follow a signal each is aborted, and none that has left it; the signal has one listener", () => {
  const other = new AbortController();
  const [gone, ...all] = Array.from({ length: 20 }, () => new JointAbort([other.signal]));
  gone!.leave();
  expect(getEventListeners(other.signal, "abort")).toHaveLength(1);
  other.abort("other");
  expect(gone!.signal.aborted).toBe(false);
  expect(all.map(({ signal }) => signal.reason)).toEqual(all.map(() => "other"));
});

test("nothing of it stays with a signal once the last has left it", () => {
  const { signal } = new AbortController();
  const joints = [new JointAbort([signal]), new JointAbort([signal])];
  for (const joint of joints) joint.leave();
  expect(getEventListeners(signal, "abort")).toEqual([]);
  expect(new JointAbort([signal]).signal.aborted).toBe(false);
  expect(getEventListeners(signal, "abort")).toHaveLength(1);
});
