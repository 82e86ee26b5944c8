import { promises as fs } from "node:fs";
import { CudaIpcError } from "../errors.js";
import { readJournal } from "./journal-read.js";
import { type AdoptOptions, adoptState, newOwnerParts, type OwnerParts } from "./owner-state.js";
import { journalPath } from "./socket-path.js";

/** Milliseconds. */
export const defaultRecoveryDeadline = 60_000;

/** What an owner starts with. */
export interface Predecessor {
  parts: OwnerParts;
  /** Whether there was an owner that died, so that something is to be recovered. */
  recover: boolean;
  /** Why what it left could not be used. */
  problem?: CudaIpcError;
}

/** Reads what the owner before this one on the socket has left. Only for whoever has the lock. */
export async function readPredecessor(
  socket: string,
  options: Pick<AdoptOptions, "limits"> & { recoveryDeadline?: number },
): Promise<Predecessor> {
  const { limits, recoveryDeadline = defaultRecoveryDeadline } = options;
  const file = journalPath(socket);
  const nothing = (problem?: CudaIpcError) => ({ parts: newOwnerParts(limits), recover: false, problem });
  try {
    const state = await readJournal(file);
    if (state === undefined) return nothing();
    return { parts: adoptState(state, { limits, awaitUntil: Date.now() + recoveryDeadline }), recover: true };
  } catch (error) {
    const { code, message } = error as CudaIpcError;
    if (code !== "ERR_CUDA_IPC_JOURNAL_DAMAGED" && code !== "ERR_CUDA_IPC_SNAPSHOT") throw error;
    const aside = `${file}.damaged`;
    await fs.rename(file, aside);
    return nothing(
      new CudaIpcError(
        "ERR_CUDA_IPC_JOURNAL_DAMAGED",
        `The recovery journal ${file} cannot be used, and what it speaks of is lost to this owner. ${message} It was put aside as ${aside}.`,
        { cause: error, details: { file, aside } },
      ),
    );
  }
}
