import type { CudaIpcError } from "../errors.js";
import { Journal } from "./journal.js";
import { exportState, type OwnerParts } from "./owner-state.js";
import { journalPath } from "./socket-path.js";
import { processStartTime } from "./start-time.js";

export interface OwnerJournalOptions {
  /** The owner's id. */
  id: string;
  socket: string;
  onError: (error: CudaIpcError) => void;
  /** While the file is another owner's. */
  staged: boolean;
}

/** The journal of one owner: what changes in its parts is written down as it happens, until `stop()`. */
export class OwnerJournal extends Journal {
  /** From here on nothing is written down. */
  readonly stop: () => void;

  constructor(parts: OwnerParts, { id, socket, onError, staged }: OwnerJournalOptions) {
    const owner = { id, pid: process.pid, startTime: processStartTime() };
    super(journalPath(socket), { owner, state: () => exportState(parts), onError, staged });
    this.stop = parts.log.subscribe(this.write);
  }
}
