// What goes on loan from a shelf, and how it comes back.
import { expect, test, vi } from "vitest";
import { native } from "../../dist/lib/native.js";
import { encodeFrame } from "../../dist/lib/wire/encode.js";
import { all, eventually, heardBefore, me, request, type Served, served } from "./shelf-helpers.js";

const hello = (provider = "host") =>
  encodeFrame({ fds: 0, type: "hello", protocol: [1], driver: { provider } });

function lendingShelf() {
  const shelf = native.createShelf([me]);
  shelf.put("llm", "v1", null, Buffer.from("frames"), [], "host");
  return shelf;
}

const heard = ({ near }: Served, bytes: number) => near.events.until(() => near.events.received === bytes);

test("what was sent is out until it is given back, and whoever asks is told", async () => {
  const shelf = lendingShelf();
  const both = served(shelf, all(hello(), request("a"), request("b")));
  await heard(both, 12);
  const { far } = both;
  shelf.remove("llm", "v1");
  const returned = vi.fn();
  expect(shelf.whenReturned("v1", returned)).toBe(true);
  expect(shelf.whenReturned("v2", returned)).toBe(false);
  expect(far.untaken()).toEqual(["a", "b"]);
  expect(far.takeAhead("a")).toBe("v1");
  expect(far.takeAhead("a")).toBeUndefined();
  expect(far.untaken()).toEqual(["b"]);
  far.giveBack("a");
  far.giveBack("a");
  far.close();
  await new Promise(setImmediate);
  expect(returned).not.toHaveBeenCalled();
  far.giveBack("b");
  await eventually(() => returned.mock.calls.length > 0);
  expect(returned).toHaveBeenCalledOnce();
  expect(shelf.whenReturned("v1", returned)).toBe(false);
});

test("it is out when the shelf is cleared, or has something else", async () => {
  const shelf = lendingShelf();
  const both = served(shelf, all(hello(), request("a")));
  await heard(both, 6);
  shelf.put("llm", "v2", null, Buffer.from("others"), []);
  shelf.clear();
  const returned = vi.fn();
  expect(shelf.whenReturned("v1", returned)).toBe(true);
  both.far.giveBack("a");
  await eventually(() => returned.mock.calls.length > 0);
});

test("it goes to nobody on another driver", async () => {
  const both = served(lendingShelf(), all(hello("libcuda"), request("a")));
  expect(await heardBefore(both)).toBe("");
  expect(both.far.takeAhead("a")).toBeUndefined();
});

test("a channel without a shelf has lent nothing", () => {
  const { far } = served(undefined, hello());
  far.giveBack("a");
  expect(far.untaken()).toEqual([]);
});

test("what is wrong is refused with a code", () => {
  const invalid = expect.objectContaining({ code: "ERR_CUDA_IPC_INVALID_ARGUMENT" });
  // biome-ignore lint/suspicious/noExplicitAny: wrong types on purpose
  const shelf = native.createShelf([me]) as any;
  expect(() => shelf.put("llm", "v1", null, Buffer.from("frames"), [], true)).toThrow(invalid);
  expect(() => shelf.whenReturned("v1")).toThrow(invalid);
  expect(() => shelf.whenReturned(1, () => {})).toThrow(invalid);
  // biome-ignore lint/suspicious/noExplicitAny: wrong types on purpose
  const { far } = served(undefined, hello()) as any;
  expect(() => far.giveBack()).toThrow(invalid);
});
