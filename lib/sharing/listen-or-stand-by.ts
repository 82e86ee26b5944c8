import type { CudaIpcError } from "../errors.js";

const patienceMs = 10_000;
const shortestWaitMs = 2;
const longestWaitMs = 100;

export interface Ways<Owner, Standby> {
  listen(): Promise<Owner>;
  standBy(): Promise<Standby>;
}

/**
 * The race for the socket of processes that start alike: one becomes the owner, the others its standbys. Neither may be
 * possible for a moment: an owner that has the lock does not listen yet, or one is just ending.
 */
export async function listenOrStandBy<Owner, Standby>({
  listen,
  standBy,
}: Ways<Owner, Standby>): Promise<Owner | Standby> {
  const patience = AbortSignal.timeout(patienceMs);
  for (let wait = shortestWaitMs; ; wait = Math.min(2 * wait, longestWaitMs)) {
    try {
      return await listen();
    } catch (error) {
      if ((error as CudaIpcError).code !== "ERR_CUDA_IPC_OWNER_RUNNING" || patience.aborted) throw error;
    }
    try {
      return await standBy();
    } catch (error) {
      const { code } = error as CudaIpcError;
      const passing = code === "ERR_CUDA_IPC_NO_OWNER" || code === "ERR_CUDA_IPC_CONNECTION_LOST";
      if (!passing || patience.aborted) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
