/** Fixed by protocol version 1; `docs/protocol.md` lists them. */
export const maxFrameBytes = 16 * 1024 * 1024;
export const maxFrameFds = 1024;
/** The most leases one `release` or `reclaim` names. */
export const maxLeasesPerRequest = 4096;
/** The most locks one `unlock` or `relock` names. */
export const maxLocksPerRequest = 4096;
/** The longest wait for a lock that can be asked for, in milliseconds; without one a request waits on. */
export const maxLockWaitMs = 2 ** 31 - 1;
export const protocolVersion = 1;
