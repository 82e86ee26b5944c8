/**
 * Runs a call that cannot be interrupted under an AbortSignal: refused when aborted before, undone when aborted
 * meanwhile. Either way the promise is rejected with the signal's reason.
 */
export async function abortable<Result>(
  signal: AbortSignal | undefined,
  call: () => Promise<Result>,
  undo?: (result: Result) => Promise<unknown>,
): Promise<Result> {
  signal?.throwIfAborted();
  const result = await call();
  if (signal?.aborted) {
    await undo?.(result);
    throw signal.reason;
  }
  return result;
}
