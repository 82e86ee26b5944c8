// The limits of an attach bound all of it: also where the owner stops in the middle of a grant.
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeAll, expect, test } from "vitest";
import { attach, disconnect } from "../../dist/lib/index.js";
import { type NativeChannel, type NativeFd, type NativeListener, native } from "../../dist/lib/native.js";
import { rehearsed } from "../../dist/lib/sharing/attach.js";
import { attachSteps } from "../../dist/lib/sharing/attach-steps.js";
import { encodeFrame } from "../../dist/lib/wire/encode.js";
import { FrameDecoder } from "../../dist/lib/wire/framing.js";
import { encodeManifest } from "../../dist/lib/wire/manifest-file.js";
import { folder, MIB } from "../helpers/sharing.js";
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
let fds: NativeFd[];
const say = (message: object, fds: NativeFd[] = []) =>
  line.send(encodeFrame({ ...message, fds: fds.length }), fds);

// Its attaches go through the same steps.
beforeAll(() => rehearsed);

afterEach(() => {
  line.close();
  listener.close();
  disconnect();
  attachSteps.tell = undefined;
  for (const fd of fds) fd.close();
});

/** An owner that grants what it is asked for and then says nothing any more, not even `released`. */
async function grantsAndStops(heard: (request: Request) => void): Promise<string> {
  const socket = newSocket(folder);
  mkdirSync(path.dirname(socket), { recursive: true });
  const bytes = 2 * MIB;
  const id = randomBytes(16);
  const slab = await native.createSlab({ id, device: 0, bytes, sharing: "vmm" });
  const tensor = { name: "a", dtype: "U8", shape: [bytes], slab: 0, offset: 0, bytes };
  fds = [slab.exportFd(), native.createSealedMemfd("test", encodeManifest([tensor]))];
  await slab.close();
  const device = (await native.devices())[0]!.uuid;
  const slabs = [{ id: id.toString("hex"), device, bytes, sharing: "vmm", handle: null }];
  const answer = (request: Request) => {
    if (request.type === "hello") say({ ...example("welcome"), driver: { provider: "host", version: null } });
    if (request.type === "attach") {
      say({ ...example("attached"), re: request.id, lease: request.lease, slabs }, fds);
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

test("a signal between the grant and the memory: the lease goes back, and nobody waits for the answer to that", async () => {
  const { asked, heard, goOn } = release();
  const giveUp = new AbortController();
  let aborted = 0;
  const leases: string[] = [];
  const socket = await grantsAndStops((request) => {
    if (request.type === "attach") leases.push(request.lease);
    heard(request);
  });
  attachSteps.tell = (step) => {
    if (step !== "mapping") return;
    aborted = performance.now();
    giveUp.abort(new Error("enough"));
  };
  await expect(attach("llm", { socket, signal: giveUp.signal })).rejects.toThrow("enough");
  // An answer to the release is awaited for 2 s where one waits for it.
  expect(performance.now() - aborted).toBeLessThan(1500);
  expect(leases).toHaveLength(1);
  expect(await asked).toMatchObject({ leases });
  expect(native.mappingStatistics()).toEqual({ mappings: 0, references: 0 });
  await goOn();
});
