import type { NativeAddon } from "../native.js";
import { type Asked, type AttachBody, askFirst, helloMessage } from "../wire/client.js";
import type { EncodedMessage } from "../wire/encode.js";
import { attachSteps } from "./attach-steps.js";
import { software } from "./software.js";

/** What such a line is made with. */
export type Asker = Pick<NativeAddon, "ask" | "chosenProvider">;

let said: { provider: string; hello: EncodedMessage } | undefined;

/** The same on every line of a process. */
export function helloOn(provider: string): EncodedMessage {
  if (said?.provider !== provider) {
    const hello = helloMessage({ client: software, driver: { provider, version: null }, devices: null });
    said = { provider, hello };
  }
  return said.hello;
}

/**
 * A line to the owner on that socket with the request for a lease on it. Undefined where none could be made without
 * waiting, or the request could not be sent: whoever makes one in another way is told why.
 */
export function askAt(socket: string, addon: Asker, body: AttachBody): Asked | undefined {
  try {
    const asked = askFirst(addon.ask, socket, helloOn(addon.chosenProvider()), body);
    if (asked === undefined) return undefined;
    attachSteps.tell?.("connected");
    attachSteps.tell?.("asked");
    return asked;
  } catch {
    return undefined;
  }
}
