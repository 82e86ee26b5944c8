import type { ChannelEvents, NativeChannel, NativeMapping } from "../native.js";
import { encodeFrame } from "../wire/fragment.js";
import { FrameDecoder } from "../wire/framing.js";
import { protocolVersion } from "../wire/limits.js";
import { packTensors } from "../wire/manifest.js";
import type { Body, ClientMessage, OwnerMessages } from "../wire/messages.js";
import { randomId } from "./ids.js";
import { type AttachAddon, OwnerClient } from "./owner-client.js";
import { resolveSocket } from "./socket-path.js";
import { software } from "./software.js";

/**
 * Attaches and releases once, with nobody at the other end and nothing to map: the addon is played. A function is
 * compiled when it is first called, and an attach calls some 150 of them, which in a fresh process takes several
 * times as long as the attach itself.
 */
export async function rehearse(): Promise<void> {
  const { addon, complaints } = play();
  const client = new OwnerClient(resolveSocket("/rehearsal"), addon);
  const request = { set: "rehearsal", version: null, checksum: null, access: "read" } as const;
  const weights = await client.attach(request, { timeout: 10_000 });
  weights.tensor("tensor");
  await weights.release({ after: null });
  client.disconnect();
  if (complaints.length > 0) throw new Error(`The rehearsal is not up to date: ${complaints}`);
}

function play(): { addon: AttachAddon; complaints: string[] } {
  const complaints: string[] = [];
  let events: ChannelEvents | undefined;
  const heard = new FrameDecoder();
  const answer = (message: ClientMessage) => {
    const reply = replyTo(message);
    // Later, as every answer comes, and while the process is there for it anyway.
    if (reply !== undefined) setImmediate(() => events?.onData(encodeFrame({ fds: 0, ...reply }), []));
    else complaints.push(JSON.stringify(message));
  };
  const channel: Partial<NativeChannel> = {
    queuedBytes: 0,
    send(bytes) {
      heard.push(Buffer.from(bytes), [], ({ message }) => answer(message as ClientMessage));
      return true;
    },
    lastWords() {},
    ref() {},
    unref() {},
    close() {
      events = undefined;
    },
  };
  const mapping: NativeMapping = { devicePointer: 0n, bytes, close: async () => {} };
  const addon: AttachAddon = {
    connect: async () => channel as NativeChannel,
    startChannel: (_, given) => {
      events = given;
    },
    chosenProvider: () => "host",
    driverIsUp: () => true,
    devices: async () => [],
    findDevice: async () => 0,
    openSlab: async () => mapping,
  };
  return { addon, complaints };
}

const bytes = 256;

type Answer<K extends keyof OwnerMessages> = { type: K } & Body<OwnerMessages[K]>;

function replyTo(message: ClientMessage): object | undefined {
  switch (message.type) {
    case "hello":
      return {
        type: "welcome",
        protocol: protocolVersion,
        owner: { id: randomId(), pid: 1, startTime: "1" },
        server: software,
        driver: { provider: "host", version: null },
        recovering: false,
        wanted: [],
      } satisfies Answer<"welcome">;
    case "attach":
      return {
        type: "attached",
        re: message.id,
        lease: message.lease,
        version: {
          ...{ id: randomId(), set: message.set, number: 1, writable: false, checksum: randomId() },
          sharing: "ipc",
          tensors: packTensors([{ name: "tensor", dtype: "U8", shape: [bytes], slab: 0, offset: 0, bytes }]),
        },
        slabs: [{ id: randomId(), device: "0", bytes, sharing: "ipc", handle: `${"A".repeat(86)}==` }],
      } satisfies Answer<"attached">;
    case "release":
      return { type: "released", re: message.id, ended: 1 } satisfies Answer<"released">;
    default:
      return undefined;
  }
}
