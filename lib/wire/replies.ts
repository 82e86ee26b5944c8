/** Which reply answers which request; every request may be answered by `error` instead. */
export const replyTypes = {
  attach: "attached",
  retain: "retained",
  release: "released",
  reclaim: "reclaimed",
  offer: "offered",
  lock: "locked",
  unlock: "unlocked",
  relock: "relocked",
  status: "statusReply",
  mirror: "mirrored",
  mirrorDropped: "mirrorNoted",
  handover: "handedOver",
  handoverTaken: "handoverDone",
} as const;
