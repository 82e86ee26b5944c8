import type { NativeAddon } from "../native.js";
import type { Asked, AttachBody } from "../wire/client.js";
import { type Asker, askAt } from "./asked-line.js";
import { Bequest } from "./bequest.js";
import { randomId } from "./ids.js";

/** The request for a lease that a line begins with. */
export interface FirstRequest {
  readonly lease: string;
  readonly bequest: Bequest;
  /** The line. Undefined where none could be made so. */
  readonly asked: Asked | undefined;
}

/** Has the request go out before anything is made for its answer: where there is no line, and perhaps no client. */
export function requestFirst(
  socket: string,
  addon: Asker & Pick<NativeAddon, "testament">,
  request: Omit<AttachBody, "lease">,
  bequest: Bequest = new Bequest(socket, addon),
): FirstRequest {
  const lease = randomId();
  bequest.add(lease);
  const asked = askAt(socket, addon, { ...request, lease });
  if (asked === undefined) bequest.delete(lease);
  return { lease, bequest, asked };
}
