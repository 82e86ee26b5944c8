/** Fixed by protocol version 1; `docs/protocol.md` lists them. */
export const maxFrameBytes = 16 * 1024 * 1024;
export const maxFrameFds = 1024;
/** The most leases one `release` or `reclaim` names. */
export const maxLeasesPerRequest = 4096;
export const protocolVersion = 1;
