// The limits of an attach bound all of it: also where the owner stops in the middle of a grant.
import { mkdirSync } from "node:fs";
import path from "node:path";
import { afterEach, expect, test } from "vitest";
import { attach, disconnect } from "../../dist/lib/index.js";
import { type NativeChannel, type NativeListener, native } from "../../dist/lib/native.js";
import { encodeFrame } from "../../dist/lib/wire/encode.js";
import { FrameDecoder } from "../../dist/lib/wire/framing.js";
import { folder } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";
import { example } from "../wire/examples.js";

interface Request {
  type: string;
  id: number;
  lease: string;
  leases: string[];
}

let listener: NativeListener;
let line: NativeChannel;
const say = (message: object) => line.send(encodeFrame({ fds: 0, ...message }));

afterEach(() => {
  line.close();
  listener.close();
  disconnect();
});

/** An owner that grants what it is asked for and then says nothing any more: neither the manifest, nor `released`. */
function grantsAndStops(heard: (request: Request) => void): string {
  const socket = newSocket(folder);
  mkdirSync(path.dirname(socket), { recursive: true });
  const answer = (request: Request) => {
    if (request.type === "hello") say({ ...example("welcome"), driver: { provider: "host", version: null } });
    if (request.type === "attach") {
      const { handle, ...slab } = example("attached").slabs[0]!;
      const slabs = [{ ...slab, sharing: "ipc", handle: `${"A".repeat(86)}==` }];
      say({ ...example("attached"), fds: 0, re: request.id, lease: request.lease, slabs });
    }
    heard(request);
  };
  listener = native.listen(
    socket,
    { mode: 0o600, backlog: 1 },
    (channel) => {
      line = channel;
      const frames = new FrameDecoder();
      native.startChannel(channel, {
        onData: (bytes) => frames.push(bytes, [], ({ message }) => answer(message as never)),
        onDrain: () => {},
        onClose: () => {},
      });
    },
    () => expect.unreachable(),
  );
  return socket;
}

/** The release that the owner leaves unanswered, until it goes on. */
function release() {
  let heard!: (request: Request) => void;
  const asked = new Promise<Request>((resolve) => {
    heard = (request) => {
      if (request.type === "release") resolve(request);
    };
  });
  const goOn = async () => say({ ...example("released"), re: (await asked).id });
  return { asked, heard, goOn };
}

test("a timeout, after which the lease goes back and nobody waits for the answer to that", async () => {
  const { asked, heard, goOn } = release();
  const leases: string[] = [];
  const socket = grantsAndStops((request) => {
    if (request.type === "attach") leases.push(request.lease);
    heard(request);
  });
  const began = performance.now();
  await expect(attach("llm", { socket, timeout: 200 })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_TIMEOUT",
  });
  // An answer to the release is awaited for 2 s where one waits for it.
  expect(performance.now() - began).toBeLessThan(1500);
  expect(leases).toHaveLength(1);
  expect(await asked).toMatchObject({ leases });
  expect(native.mappingStatistics()).toEqual({ mappings: 0, references: 0 });
  await goOn();
});

test("a signal, likewise", async () => {
  const { asked, heard, goOn } = release();
  const giveUp = new AbortController();
  let aborted = 0;
  const socket = grantsAndStops((request) => {
    if (request.type === "attach") {
      aborted = performance.now();
      // The client has heard of the grant by then: it waits for the manifest.
      setImmediate(() => giveUp.abort(new Error("enough")));
    }
    heard(request);
  });
  await expect(attach("llm", { socket, signal: giveUp.signal })).rejects.toThrow("enough");
  expect(performance.now() - aborted).toBeLessThan(1500);
  expect((await asked).leases).toHaveLength(1);
  await goOn();
});
