import { setTimeout } from "node:timers";
import { type NativeChannel, type NativeFd, type NativeMapping, native } from "../native.js";
import { encodeFrame } from "../wire/encode.js";
import { FrameDecoder } from "../wire/framing.js";
import { protocolVersion } from "../wire/limits.js";
import { encodeManifest } from "../wire/manifest-file.js";
import type { Body, ClientMessage, OwnerMessages } from "../wire/messages.js";
import { attachRequest } from "./attach-options.js";
import { attachThrough, forgetClient } from "./clients.js";
import { compileRest } from "./compile-rest.js";
import { randomId } from "./ids.js";
import { loadLater } from "./later.js";
import type { AttachAddon } from "./owner-client.js";
import { software } from "./software.js";

/** V8 notes what kinds of values come where, and makes use of that, only after a function has been called some times. */
const times = 32;

/**
 * Attaches and releases some times over a real socket, with an owner that is played and nothing to map. A function is
 * compiled when it is first called, and an attach calls some 200 of them, which in a fresh process takes several times
 * as long as the attach itself. Ends early when `over` says so.
 */
export async function rehearse(over: () => boolean = () => false, rounds = times): Promise<void> {
  loadLater();
  await turn();
  const manifest = native.createSealedMemfd("cuda-ipc rehearsal", encodeManifest(rehearsedTensors));
  try {
    for (let n = 0; n < rounds; n++) {
      await turn();
      if (over()) return;
      const { channel, closed } = playedOwner(manifest);
      await rehearseAttach(() => channel);
      await closed;
    }
  } finally {
    manifest.close();
  }
  compileRest();
}

/** The program's, between two pieces of work. It never comes where there is nothing left to do: no process stays for this. */
const turn = () => new Promise<void>((settle) => setTimeout(settle, 0).unref());

let rehearsals = 0;

/** Two attaches and their releases, one of them on the line of the other, with whoever is at the other end of the channel. */
export async function rehearseAttach(dial: () => NativeChannel): Promise<void> {
  // An owner rehearses both sides, beside each other: no two share a client.
  const { socket, request, limits } = attachRequest(rehearsedSet, {
    socket: `/proc/self/rehearsal-${++rehearsals}`,
  });
  const mapping: NativeMapping = { device: 0, devicePointer: 0n, bytes, close: async () => {} };
  // A grant that comes on another channel than is watched has nothing opened early: there is nothing to open.
  const [elsewhere, farEnd] = native.socketPair();
  const addon: AttachAddon = {
    ask(path, hello, request, lease, access) {
      try {
        native.ask(path, hello, request, lease, access);
      } catch {
        // Nobody is there, and that has been looked for.
      }
      const channel = dial();
      channel.send(Buffer.concat([hello, encodeFrame(JSON.parse(request))]));
      const grants = native.watchGrants(elsewhere);
      grants.expect(lease, access, true);
      return { channel, grants };
    },
    tryConnect: native.tryConnect,
    connect: native.connect,
    startChannel: native.startChannel,
    watchGrants: () => native.watchGrants(elsewhere),
    openManifest: native.openManifest,
    testament: native.testament,
    chosenProvider: native.chosenProvider,
    driverIsUp: () => true,
    devices: async () => [],
    openSlab: async () => mapping,
  };
  try {
    const weights = await attachThrough(socket, request, limits, addon);
    try {
      // And once more, on the line that stands now.
      const again = await attachThrough(socket, request, limits, addon);
      await again.release({ after: null });
      weights.tensor("tensor 0");
      // What an attach leaves to whoever looks at all of it.
      for (const tensor of weights.tensors()) void tensor.devicePointer;
    } finally {
      await weights.release({ after: null });
    }
  } finally {
    forgetClient(socket);
    elsewhere.close();
    farEnd.close();
  }
}

/** A connection to somebody in this thread who answers as an owner does. */
function playedOwner(manifest: NativeFd): { channel: NativeChannel; closed: Promise<void> } {
  const [near, fd] = native.socketPair();
  const far = native.adoptChannel(fd);
  const heard = new FrameDecoder();
  const answer = (message: ClientMessage) => {
    for (const reply of repliesTo(message)) {
      const fds = reply.type === "ahead" ? [manifest] : [];
      far.send(encodeFrame({ fds: fds.length, ...reply }), fds);
    }
  };
  const hear = (chunk: Buffer) => {
    try {
      heard.push(chunk, [], ({ message }) => answer(message as ClientMessage));
    } catch {
      // What goes wrong here is nobody's concern: the rehearsal ends with the connection.
      far.close();
    }
  };
  const closed = new Promise<void>((onClose) => {
    native.startChannel(far, {
      onData: hear,
      onDrain: () => {},
      onClose: () => onClose(),
    });
  });
  return { channel: near, closed };
}

const bytes = 256;
export const rehearsedSet = "rehearsal";
export const rehearsedTensors = Array.from({ length: 64 }, (_, n) => ({
  ...{ name: `tensor ${n}`, dtype: "U8", shape: [16, 16], slab: 0, offset: 0, bytes },
}));

type Answer<K extends keyof OwnerMessages> = { type: K } & Body<OwnerMessages[K]>;

function repliesTo(message: ClientMessage): { type: string }[] {
  switch (message.type) {
    case "hello": {
      const welcome: Answer<"welcome"> = {
        type: "welcome",
        protocol: protocolVersion,
        owner: { id: randomId(), pid: 1, startTime: "1" },
        server: software,
        driver: { provider: "host", version: null },
        recovering: false,
        wanted: [],
      };
      return [welcome];
    }
    case "attach": {
      const version: Answer<"ahead">["version"] = {
        ...{ id: randomId(), set: message.set, number: 1, writable: false, checksum: randomId() },
        sharing: "ipc",
      };
      const ahead: Answer<"ahead"> = {
        type: "ahead",
        version,
        slabs: [{ id: randomId(), device: "0", bytes, sharing: "ipc", handle: `${"A".repeat(86)}==` }],
      };
      const attached: Answer<"attached"> = {
        type: "attached",
        ...{ re: message.id, lease: message.lease, version, slabs: [], ahead: true },
      };
      return [ahead, attached];
    }
    case "release": {
      const released: Answer<"released"> = { type: "released", re: message.id, ended: 1 };
      return [released];
    }
    default:
      throw new Error(`A rehearsal has no answer to ${message.type}.`);
  }
}
