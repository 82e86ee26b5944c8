import { native } from "../native.js";
import { type FirstRequest, requestFirst } from "./first-request.js";
import { type AttachAddon, type AttachRequest, OwnerClient } from "./owner-client.js";
import type { RequestLimits } from "./patience.js";
import type { Weights } from "./weights.js";

const clients = new Map<string, OwnerClient>();

/** This environment's client of the owner on that socket: one connection, however many leases. */
export function clientOf(socket: string, addon: AttachAddon = native, first?: FirstRequest): OwnerClient {
  let client = clients.get(socket);
  if (client === undefined) {
    client = new OwnerClient(socket, addon, first?.bequest);
    clients.set(socket, client);
  }
  return client;
}

/** Attaches through that client. Where there is none yet, the owner answers while it is made. */
export function attachThrough(
  socket: string,
  request: AttachRequest,
  limits: RequestLimits,
  addon: AttachAddon = native,
): Promise<Weights> {
  const begins = !clients.has(socket) && !limits.signal?.aborted;
  const first = begins ? requestFirst(socket, addon, request) : undefined;
  return clientOf(socket, addon, first).attach(request, limits, first);
}

/** Of a client that has nothing any more. */
export function forgetClient(socket: string): void {
  clients.get(socket)?.disconnect();
  clients.delete(socket);
}

/**
 * Closes, now, the connections to owners that no lease of this thread needs. They close by themselves a second after
 * the last lease has ended, and they never keep a process alive: this is for whoever counts descriptors.
 */
export function disconnect(): void {
  for (const client of clients.values()) client.disconnect();
}
