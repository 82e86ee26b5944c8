// Memory that an owner sends ahead of a grant, as a client's connection takes it.
import { afterEach, expect, test, vi } from "vitest";
import { closeAll, type Mappable } from "../../dist/lib/wire/ahead.js";
import { ClientConnection } from "../../dist/lib/wire/client.js";
import { encodeFrame } from "../../dist/lib/wire/encode.js";
import { example } from "./examples.js";
import { FakeChannel, FakeFd } from "./fake-channel.js";

const coded = (code: string) => expect.objectContaining({ code: `ERR_CUDA_IPC_${code}` });
const ahead = example("ahead");
const { type: _, fds: __, id: ___, ahead: ____, ...attachBody } = example("attach");
const { type: _____, fds: ______, protocol: _______, ...hello } = example("hello");
const { version } = ahead;
const slab = ahead.slabs[0]!;
const whole = { ...example("attached"), re: 1, lease: attachBody.lease };
const granted = { ...whole, version, fds: 0, slabs: [], ahead: true };

/** Settles once everything that is on its way has arrived: the fake channel needs microtasks only. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

afterEach(() => {
  for (const fd of FakeFd.open) fd.close();
});

type Said = { type: string; fds: number } & Record<string, unknown>;

/** A client, and what its owner hears and says. */
function connect() {
  const [near, far] = FakeChannel.pair();
  const heard: { type: string; id: number; ahead?: boolean }[] = [];
  FakeChannel.start(far, {
    onData: (bytes) => {
      for (let rest = bytes; rest.length > 0; rest = rest.subarray(4 + rest.readUInt32LE(0))) {
        heard.push(JSON.parse(rest.toString("utf8", 4, 4 + rest.readUInt32LE(0))));
      }
    },
    onDrain: () => {},
    onClose: () => {},
  });
  const onClose = vi.fn();
  const onLate = vi.fn();
  const worker = new ClientConnection({ channel: near, start: FakeChannel.start, hello, onClose, onLate });
  const say = (...messages: Said[]) => {
    for (const message of messages) {
      const fds = Array.from({ length: message.fds }, () => new FakeFd());
      near.deliver(encodeFrame(message), fds);
    }
    return settled();
  };
  const came: Mappable[] = [];
  const attach = (options = {}) =>
    worker.request("attach", attachBody, { onAhead: (memory) => came.push(memory), ...options });
  return { worker, heard, say, came, attach, onClose, onLate };
}

test("it may come before the welcome, and the grant refers to it", async () => {
  const { say, came, attach } = connect();
  const attaching = attach();
  await settled();
  await say(ahead);
  expect(came).toHaveLength(1);
  expect(came[0]).toMatchObject({ version, slabs: ahead.slabs, fds: [expect.any(FakeFd)] });
  await say(example("welcome"), granted);
  expect(await attaching).toMatchObject({ message: granted, fds: [], memory: undefined });
  expect([...FakeFd.open]).toEqual([...came[0]!.fds, came[0]!.manifest]);
});

test("another version may be granted, with all that belongs to it", async () => {
  const { say, came, attach } = connect();
  const attaching = attach();
  await settled();
  const other = { ...whole, version: { ...version, id: "0".repeat(32) } };
  await say(ahead, example("welcome"), other);
  const { memory } = await attaching;
  expect(memory).toMatchObject({ version: other.version, slabs: whole.slabs });
  const all = [came[0]!, memory!].flatMap(({ fds, manifest }) => [...fds, manifest]);
  expect(FakeFd.open).toEqual(new Set(all));
});

test("one request at a time asks for it, and the next one after the answer", async () => {
  const { heard, say, attach } = connect();
  const attaching = [attach(), attach()];
  for (const attached of attaching) attached.catch(() => {});
  await settled();
  expect(heard.filter(({ type }) => type === "attach").map(({ ahead }) => ahead)).toEqual([true, undefined]);
  await say(example("welcome"), { ...example("error"), re: 1 });
  await expect(attaching[0]).rejects.toThrow();
  attach().catch(() => {});
  await settled();
  expect(heard.at(-1)).toMatchObject({ type: "attach", id: 3, ahead: true });
});

test("whoever gives up keeps nothing of what still comes", async () => {
  const { say, came, attach, onLate } = connect();
  const abort = new AbortController();
  const attaching = attach({ signal: abort.signal });
  attaching.catch(() => {});
  await settled();
  abort.abort();
  await expect(attaching).rejects.toThrow();
  await say(ahead, example("welcome"), granted);
  expect(came).toEqual([]);
  expect(FakeFd.open.size).toBe(0);
  expect(onLate).toHaveBeenCalledOnce();
});

const handle = `${"A".repeat(86)}==`;
test.each([
  ["a second one", [ahead, ahead]],
  ["fewer descriptors than slabs and a manifest", [{ ...ahead, fds: 1 }]],
  ["more of them", [{ ...ahead, fds: 3 }]],
  ["a vmm slab with a handle", [{ ...ahead, slabs: [{ ...slab, handle }] }]],
  ["a grant of what was never sent", [example("welcome"), granted]],
  [
    "a grant of another version",
    [ahead, example("welcome"), { ...granted, version: { ...granted.version, id: "0".repeat(32) } }],
  ],
  ["slabs once more", [ahead, example("welcome"), { ...granted, slabs: whole.slabs, fds: 2 }]],
])("an owner that sends %s is left", async (_, messages) => {
  const { say, came, attach, onClose } = connect();
  const attaching = attach();
  attaching.catch(() => {});
  await settled();
  await say(...messages);
  await expect(attaching).rejects.toThrow(coded("PROTOCOL"));
  expect(onClose).toHaveBeenCalledExactlyOnceWith(coded("PROTOCOL"));
  came.forEach(closeAll);
  expect(FakeFd.open.size).toBe(0);
});

test("an owner that sends ahead what nobody has asked for is left", async () => {
  const { worker, say, onClose } = connect();
  const attaching = worker.request("attach", attachBody);
  attaching.catch(() => {});
  await settled();
  await say(ahead);
  await expect(attaching).rejects.toThrow(coded("PROTOCOL"));
  expect(onClose).toHaveBeenCalledExactlyOnceWith(coded("PROTOCOL"));
  expect(FakeFd.open.size).toBe(0);
});
