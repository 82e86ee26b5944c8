/** What the primary process and its workers say to each other over the cluster's own channel. */

export interface Ready {
  port: number;
  /** attach() of the weights, with CUDA up. */
  attachMs: number;
  /** cuInit and the context. */
  cudaMs: number;
  /** The version attached to, as its id. */
  version: string;
}

export interface Answers {
  /** The weights' checksum, computed anew from the memory that this worker sees. */
  checksum: string;
  /** The shared counter's value, in decimal. */
  counter: string;
  /** Lets go of everything. The worker ends by itself afterwards. */
  close: null;
}

export interface Ask {
  id: number;
  command: keyof Answers;
}

export type FromWorker =
  | { ready: Ready }
  | { failed: string }
  | { id: number; value?: unknown; error?: string };

/** The environment variables that tell a worker what to serve. */
export const workerEnvironment = { socket: "DEMO_SOCKET", tensor: "DEMO_TENSOR" } as const;

/** The sets that the owner publishes. */
export const sets = { weights: "linear", counter: "counter" } as const;
export const counterTensor = "requests";
