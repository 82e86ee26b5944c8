/** CLOCK_MONOTONIC in nanoseconds, the clock of the C++ peers too: times of all processes compare. */
export const now = (): bigint => process.hrtime.bigint();

export const millisecondsBetween = (from: bigint, to: bigint): number => Number(to - from) / 1e6;
