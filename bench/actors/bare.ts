/**
 * A worker's process that makes nothing of an attach but the mapping: what is asked for was made before the clock starts,
 * what comes is not checked, and nobody waits for the grant. What JavaScript on both sides cannot do without, then.
 */
import * as entry from "../../lib/index.js";
import { type NativeFd, type NativeMapping, native } from "../../lib/native.js";
import { helloOn } from "../../lib/sharing/asked-line.js";
import { randomId } from "../../lib/sharing/ids.js";
import { FrameDecoder } from "../../lib/wire/framing.js";
import type { OwnerMessages, RequestMessage } from "../../lib/wire/messages.js";
import { millisecondsBetween, now } from "../common/clock.js";
import { serve } from "../common/serve.js";

// As any worker does: then the first mapping in a process is behind it when CUDA is up.
const { attach: _, cudaMemGetInfo } = entry;

const commands = {
  /** cuInit and the device's primary context. */
  async initialize(device: number): Promise<void> {
    await cudaMemGetInfo({ device });
  },
  /** Milliseconds until the memory of the set is mapped. Unmaps it and closes the connection. */
  async map(set: string, socket: string): Promise<number> {
    const lease = randomId();
    const about = { set, version: null, checksum: null, access: "read" as const, lease, ahead: true };
    const request: RequestMessage<"attach"> = { fds: 0, type: "attach", id: 1, ...about };
    const text = JSON.stringify(request);
    const { frame } = helloOn(native.chosenProvider());
    const before = now();
    const asked = native.ask(socket, frame, text, lease, "read");
    if (asked === undefined) throw new Error("The owner's backlog is full.");
    const mapping = await new Promise<NativeMapping>((resolve, reject) => {
      const decoder = new FrameDecoder<NativeFd>();
      native.startChannel(asked.channel, {
        onData: (bytes, fds) =>
          decoder.push(bytes, fds, ({ message, fds: [fd] }) => {
            if (message.type !== "ahead") return;
            const { slabs } = message as OwnerMessages["ahead"];
            const { id, device: uuid, bytes: size, handle } = slabs[0]!;
            const source = { id: Buffer.from(id, "hex"), uuid, bytes: size, access: "read" as const };
            const named = handle === null ? { fd } : { handle: Buffer.from(handle, "base64") };
            const opening = asked.grants.open(lease, 0, { ...source, ...named });
            if (opening === undefined) reject(new Error("Nothing was begun for what came ahead."));
            else opening.then(resolve, reject);
          }),
        onDrain: () => {},
        onClose: (error) => reject(error ?? new Error("The owner has sent nothing ahead.")),
      });
    });
    const mapped = now();
    await mapping.close(null);
    asked.channel.close();
    return millisecondsBetween(before, mapped);
  },
};

export type BareCommands = typeof commands;

serve(commands);
