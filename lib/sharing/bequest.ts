import type { NativeAddon, NativeTestament } from "../native.js";
import { helloMessage } from "../wire/client.js";
import { encodeFrame } from "../wire/encode.js";
import { journalPath } from "./socket-path.js";
import { software } from "./software.js";

/** Of somebody who maps nothing. */
const hello = () =>
  helloMessage({ client: software, driver: { provider: "none", version: null }, devices: null });

/** In this thread. */
let leavesNothing = false;

/**
 * The leases that an owner may count for this thread, kept where they outlive it: when it ends, its process goes on, and
 * an owner that is not there at that moment must hear all the same that they are held no more. The main thread leaves
 * nothing: its process ends with it.
 */
export class Bequest {
  private testament: NativeTestament | undefined;
  private requests = 0;

  constructor(
    private readonly socket: string,
    private readonly addon: Pick<NativeAddon, "testament">,
  ) {}

  /** To be called before the lease is asked for. */
  add(lease: string): void {
    if (leavesNothing) return;
    if (this.testament === undefined) {
      const { socket } = this;
      this.testament = this.addon.testament(socket, journalPath(socket), hello().frame);
    }
    if (this.testament === undefined) {
      leavesNothing = true;
      return;
    }
    const id = ++this.requests;
    this.testament.set(lease, encodeFrame({ type: "release", fds: 0, id, leases: [lease] }));
  }

  /** No owner counts it any more. */
  delete(lease: string): void {
    this.testament?.delete(lease);
  }
}

/** Leases that an owner may count although nobody here holds them. */
export class Debts extends Set<string> {
  constructor(private readonly bequest: Bequest) {
    super();
  }

  /** It has been settled with an owner. */
  override delete(lease: string): boolean {
    this.bequest.delete(lease);
    return super.delete(lease);
  }
}
