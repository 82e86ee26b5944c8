import { CudaIpcError } from "../errors.js";
import type { NativeFd, NativeFileLock } from "../native.js";
import type { HandoverGiver } from "./handover-give.js";
import type { OwnerJournal } from "./owner-journal.js";
import type { OwnerServer } from "./owner-server.js";
import type { OwnerSocket } from "./owner-socket.js";
import type { OwnerParts } from "./owner-state.js";
import type { Publisher } from "./publisher.js";
import type { Recovery } from "./recovery.js";
import type { OwnerService } from "./service-manager/owner-service.js";

const defaultTimeoutMs = 30_000;

export interface HandedOwner {
  readonly parts: OwnerParts;
  readonly place: OwnerSocket;
  readonly journal: OwnerJournal;
  readonly publisher: Publisher;
  readonly service: OwnerService;
  readonly recovery: Recovery | undefined;
  readonly server: () => OwnerServer;
  /** Milliseconds. */
  readonly timeout: number | undefined;
  /** Throws where the owner is about to end anyway. */
  assertOpen(): void;
  finish(): void;
}

/** What an owner does while it is handed over: it stands still, and ends or goes on. */
export class OwnerHandover implements HandoverGiver {
  readonly parts: OwnerParts;
  readonly lock: NativeFileLock;
  readonly timeout: number;
  /** Whether it is under way, or has succeeded. */
  running = false;

  constructor(private readonly owner: HandedOwner) {
    this.parts = owner.parts;
    this.lock = owner.place.lock;
    this.timeout = owner.timeout ?? defaultTimeoutMs;
  }

  async prepare(): Promise<void> {
    this.owner.assertOpen();
    if (this.owner.recovery?.active) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_RECOVERING",
        "The owner is recovering from the death of the one before it. Hand over when it has recovered.",
      );
    }
    this.running = true;
    await this.owner.publisher.idle();
  }

  freeze(session: number): void {
    this.owner.server().freeze(session);
  }

  /** The successor has failed: this owner stays. */
  goOn(listening: NativeFd | undefined): void {
    this.running = false;
    if (listening === undefined) return;
    const { journal, place, server } = this.owner;
    journal.renew();
    server().thaw();
    place.adopt(listening);
    place.ref();
  }

  detachListener(): NativeFd {
    return this.owner.place.detach();
  }

  letGo(): Promise<void> {
    return this.owner.service.letGo({ silently: true });
  }

  finish(): void {
    this.owner.finish();
  }
}
