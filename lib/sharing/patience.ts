import { CudaIpcError } from "../errors.js";

/** How long an operation may take, and what gives it up. */
export interface RequestLimits {
  /** Milliseconds. */
  timeout?: number;
  signal?: AbortSignal;
}

const firstRetryMs = 20;
const longestRetryMs = 500;

/** How long to wait before each further attempt: ever longer, and never all processes at the same moment. */
export function* retryDelays(): Generator<number, never> {
  for (let wait = firstRetryMs; ; wait = Math.min(2 * wait, longestRetryMs))
    yield wait * (0.5 + Math.random());
}

/** What is left of the limits, whenever asked: an operation of several steps has one time for all of them. */
export function countdown({ timeout, signal }: RequestLimits): () => RequestLimits {
  const until = performance.now() + (timeout ?? 0);
  return () => ({ timeout: timeout && Math.max(Math.ceil(until - performance.now()), 1), signal });
}

/** The promise's outcome, unless the limits are reached first: then the signal's reason, or `late()`. */
export function withLimits<T>(
  promise: Promise<T>,
  { timeout, signal }: RequestLimits,
  late: (milliseconds: number) => CudaIpcError,
): Promise<T> {
  if (timeout === undefined && signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      finish();
    };
    const abort = () => settle(() => reject(signal!.reason));
    const timer =
      timeout === undefined ? undefined : setTimeout(() => settle(() => reject(late(timeout))), timeout);
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) return abort();
    promise.then(
      (value) => settle(() => resolve(value)),
      (error) => settle(() => reject(error)),
    );
  });
}

/** The promise's outcome, unless the signal comes first: then its reason. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return withLimits(promise, { signal }, () => passed);
}

/**
 * Attempts until one succeeds, or fails for a reason that `passes` does not expect to pass, or the limits are reached.
 * Each attempt gets what is left of them.
 */
export async function attemptUntil<T>(
  { timeout, signal }: RequestLimits,
  attempt: (left: RequestLimits) => Promise<T>,
  passes: (error: unknown) => Promise<boolean>,
): Promise<T> {
  const until = performance.now() + (timeout ?? Number.POSITIVE_INFINITY);
  const left = countdown({ timeout, signal });
  const delays = retryDelays();
  for (;;) {
    try {
      return await attempt(left());
    } catch (error) {
      if (signal?.aborted || !(await passes(error))) throw error;
      const wait = delays.next().value;
      if (performance.now() + wait >= until) throw inVain(timeout!, error);
      await pause(wait, signal);
    }
  }
}

/** Of a code without its "ERR_CUDA_IPC_". */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof CudaIpcError && error.code === `ERR_CUDA_IPC_${code}`;
}

/** Whether the connection ended before an answer: at a hand-over, too, and then there is somebody else to ask. */
export function isLost(error: unknown): boolean {
  return hasCode(error, "CONNECTION_LOST");
}

/** Rejects with the signal's reason. */
export function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  const never = new Promise<void>(() => {});
  return withLimits(never, { timeout: milliseconds, signal }, () => passed).catch((reason) => {
    if (reason !== passed) throw reason;
  });
}

const passed = new CudaIpcError("ERR_CUDA_IPC_TIMEOUT", "The pause is over.");

function inVain(milliseconds: number, cause: unknown): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_TIMEOUT",
    `The owner has died, and no other took its place within ${milliseconds} ms. Start one, or allow more time. ${(cause as Error).message}`,
    { cause, details: { milliseconds } },
  );
}
