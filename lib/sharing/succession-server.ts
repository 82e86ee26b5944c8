import { CudaIpcError } from "../errors.js";
import type { RequestHandlers, ServerConnection } from "../wire/server.js";
import { type HandoverGiver, HandoverSource } from "./handover-give.js";
import type { ProcessIdentity } from "./ledger.js";
import { MirrorSource } from "./mirror-source.js";
import { processKey, processOfKey } from "./process-key.js";
import { processStartTime } from "./start-time.js";

type SuccessionHandlers = Pick<RequestHandlers, "mirror" | "mirrorDropped" | "handover" | "handoverTaken">;

/** The owner's side of those who come after it: standbys, and the successor of a hand-over. */
export class SuccessionServer {
  private readonly mirrors: MirrorSource;
  private readonly handover: HandoverSource;

  constructor(giver: HandoverGiver) {
    this.mirrors = new MirrorSource(giver.parts);
    this.handover = new HandoverSource(giver);
  }

  handlers(session: number, peer: ProcessIdentity, connection: () => ServerConnection): SuccessionHandlers {
    return {
      mirror: () => {
        assertSameUser(peer);
        return this.mirrors.open(session, connection(), peer.key);
      },
      mirrorDropped: ({ versions }) => {
        this.mirrors.dropped(session, versions);
        return { body: {} };
      },
      handover: () => {
        assertSameUser(peer);
        return this.handover.give(session, (reason) => connection().fail(reason));
      },
      handoverTaken: () => this.handover.taken(session),
    };
  }

  connectionClosed(session: number): void {
    this.mirrors.connectionClosed(session);
    this.handover.connectionClosed(session);
  }

  processExited(process: string): void {
    this.mirrors.processExited(process);
  }

  /** Whether a process must still be watched because of the memory it may hold. */
  knows(process: string): boolean {
    return this.mirrors.processes().has(process);
  }

  /**
   * Watches the standbys of the owner before, as far as they live: they come back, or die. `watch` says whether that
   * will be told. This process may have been one of them, and has what it had as the owner now.
   */
  watchStandbys(watch: (identity: ProcessIdentity) => boolean): void {
    const own = processKey({ pid: process.pid, startTime: processStartTime() });
    for (const key of this.mirrors.processes()) {
      const named = processOfKey(key);
      const facts = {
        key,
        command: "",
        uid: 0,
        proven: false,
        pid: named?.pid ?? 0,
        startTime: named?.startTime ?? "",
      };
      if (key === own || named === undefined || !watch(facts)) this.mirrors.processExited(key);
    }
  }
}

/** Whoever has the descriptors can do as he likes with the memory: only the owner's own user is trusted with all of it. */
function assertSameUser({ uid, pid }: ProcessIdentity): void {
  const own = process.getuid?.() ?? 0;
  if (uid === own || uid === 0) return;
  throw new CudaIpcError(
    "ERR_CUDA_IPC_FORBIDDEN",
    `Process ${pid} of user ${uid} may not succeed an owner of user ${own}. Run it as the same user.`,
    { details: { uid } },
  );
}
