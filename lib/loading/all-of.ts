/** Rejects when all have settled, not before: until then they use what the caller would free. */
export async function allOf<T>(promises: readonly (T | Promise<T>)[]): Promise<T[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}
