import { Type } from "@sinclair/typebox";
import { maxFrameFds } from "./limits.js";
import { values } from "./values.js";

const { count, id, tensors } = values;

// What owners say to each other: a standby mirrors one, a successor takes everything over from one.

const requestId = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
/** Each one is held against the schema of its own `op` (changes.ts). */
const changes = Type.Array(Type.Object({ op: Type.String() }));
const descriptors = Type.Integer({ minimum: 0, maximum: maxFrameFds });
const none = Type.Literal(0);

/** The list of a version's tensors; its slabs are known from the changes, one descriptor each, in their order. */
const memory = Type.Object({ version: id, tensors });

export const successionRequests = {
  /** Asks for everything an owner's successor must have, now and from here on. */
  mirror: Type.Object({ type: Type.Literal("mirror"), fds: none, id: requestId }),
  /** The standby has closed its descriptors of these versions. */
  mirrorDropped: Type.Object({
    type: Type.Literal("mirrorDropped"),
    fds: none,
    id: requestId,
    versions: Type.Array(id),
  }),
  /** Asks the owner to stop and to send everything it has. It stands still until `handoverTaken`. */
  handover: Type.Object({ type: Type.Literal("handover"), fds: none, id: requestId }),
  /** The successor has everything and listens: the old owner lets go. */
  handoverTaken: Type.Object({ type: Type.Literal("handoverTaken"), fds: none, id: requestId }),
};

export const successionReplies = {
  mirrored: Type.Object({
    type: Type.Literal("mirrored"),
    fds: none,
    re: requestId,
    changes,
    memories: count,
  }),
  mirrorNoted: Type.Object({ type: Type.Literal("mirrorNoted"), fds: none, re: requestId }),
  handedOver: Type.Object({
    type: Type.Literal("handedOver"),
    /** The lock, the listening socket, then each memory's slabs. */
    fds: descriptors,
    re: requestId,
    changes,
    memories: Type.Array(memory),
  }),
  handoverDone: Type.Object({ type: Type.Literal("handoverDone"), fds: none, re: requestId }),
};

export const successionEvents = {
  mirrorChanged: Type.Object({ type: Type.Literal("mirrorChanged"), fds: none, changes }),
  mirrorMemory: Type.Object({ type: Type.Literal("mirrorMemory"), fds: descriptors, memory }),
};
