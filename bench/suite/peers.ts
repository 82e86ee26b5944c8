/** Several measures may ask for the same peer, and find it in another state each. */
import type { PeerState } from "./results.js";

const worst = ["failed", "absent", "present"] as const;

/** Each peer once: as it was where it was worst, and with the measures that is of where it was not so everywhere. */
export function onceEach(peers: readonly PeerState[]): PeerState[] {
  return [...new Set(peers.map(({ peer }) => peer))].map((name) => {
    const states = peers.filter(({ peer }) => peer === name);
    const status = worst.find((one) => states.some((state) => state.status === one))!;
    const alike = states.filter((state) => state.status === status);
    const where =
      alike.length < states.length ? alike.flatMap(({ measure }) => measure ?? []).join(", ") : "";
    return where === "" ? alike[0]! : { ...alike[0]!, peer: `${name} (in ${where})` };
  });
}
