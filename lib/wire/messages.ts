import { type Static, type TObject, type TProperties, Type } from "@sinclair/typebox";
import { maxFrameFds, maxLeasesPerRequest, maxLocksPerRequest, maxLockWaitMs } from "./limits.js";
import type { replyTypes } from "./replies.js";
import { successionEvents, successionReplies, successionRequests } from "./succession.js";
import { values } from "./values.js";

const {
  access,
  count,
  driver,
  id,
  lockStatus,
  orNull,
  owner,
  setName,
  setStatus,
  slabInfo,
  software,
  uuid,
  versionInfo,
  wholeVersion,
} = values;

const requestId = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
const leases = Type.Array(id, { maxItems: maxLeasesPerRequest });
const locks = Type.Array(id, { maxItems: maxLocksPerRequest });
const descriptors = Type.Integer({ minimum: 0, maximum: maxFrameFds });

/** Every message names its type and how many descriptors stand beside it: none, except where said. */
const message = <Name extends string, Fields extends TProperties>(type: Name, fields: Fields) =>
  Type.Object({ type: Type.Literal(type), fds: Type.Literal(0), ...fields });
const request = <Name extends string, Fields extends TProperties>(type: Name, fields: Fields) =>
  message(type, { id: requestId, ...fields });
const reply = <Name extends string, Fields extends TProperties>(type: Name, fields: Fields) =>
  message(type, { re: requestId, ...fields });

export const clientSchemas = {
  hello: message("hello", {
    /** The versions the client speaks. */
    protocol: Type.Array(count, { minItems: 1, maxItems: 64 }),
    client: software,
    driver,
    /** What the client sees; null while it has not brought up CUDA. */
    devices: orNull(Type.Array(uuid, { maxItems: 1024 })),
  }),
  attach: request("attach", {
    set: setName,
    /** null: the current one. */
    version: orNull(id),
    /** Refused unless the content is this; null: any. */
    checksum: orNull(id),
    access,
    /** Chosen by the client, so that a lease whose reply is lost can be returned. */
    lease: id,
    /** Whether the memory may be sent ahead of the answer. One such request at a time. Absent: no. */
    ahead: Type.Optional(Type.Boolean()),
  }),
  retain: request("retain", { lease: id, newLease: id }),
  release: request("release", { leases }),
  reclaim: request("reclaim", { leases }),
  offer: Type.Object({
    type: Type.Literal("offer"),
    /** One for each slab, in their order. */
    fds: descriptors,
    id: requestId,
    version: wholeVersion,
    slabs: Type.Array(slabInfo, { maxItems: maxFrameFds }),
    leases,
  }),
  /** On the set of a version that was published as writable and that the lease holds. */
  lock: request("lock", {
    lease: id,
    name: setName,
    /** Chosen by the client: the same lock asked for again is the same request. */
    lock: id,
    /** Milliseconds to wait, 0 for not at all; null: for as long as it takes. */
    timeout: orNull(Type.Integer({ minimum: 0, maximum: maxLockWaitMs })),
  }),
  unlock: request("unlock", { locks }),
  relock: request("relock", { locks }),
  status: request("status", {}),
  ...successionRequests,
  /** Not a request: nobody is left to hear the answer. */
  farewell: message("farewell", {}),
};

export const ownerSchemas = {
  welcome: message("welcome", {
    protocol: count,
    owner,
    server: software,
    driver,
    recovering: Type.Boolean(),
    /** Versions whose memory the owner would have back. */
    wanted: Type.Array(id),
  }),
  attached: Type.Object({
    type: Type.Literal("attached"),
    /** One for each `vmm` slab, in their order, and the version's manifest file; none where they have come ahead. */
    fds: descriptors,
    re: requestId,
    lease: id,
    version: versionInfo,
    slabs: Type.Array(slabInfo),
    /** Whether slabs and descriptors have come ahead, and none come here. Absent: no. */
    ahead: Type.Optional(Type.Boolean()),
  }),
  /**
   * To a request that may have something sent ahead, before the owner has looked at it: what it will be granted, as a
   * rule. It counts for nothing before `attached` says so; `ipc` slabs are on loan until then, or until they are given back.
   */
  ahead: Type.Object({
    type: Type.Literal("ahead"),
    /** One for each `vmm` slab, in their order, and the version's manifest file. */
    fds: descriptors,
    version: versionInfo,
    slabs: Type.Array(slabInfo),
  }),
  retained: reply("retained", { lease: id }),
  released: reply("released", { ended: count }),
  reclaimed: reply("reclaimed", { kept: leases }),
  /** `reason` says, for people, why the memory was not accepted; null when it was. */
  offered: reply("offered", { accepted: Type.Boolean(), kept: leases, reason: orNull(Type.String()) }),
  locked: reply("locked", { lock: id }),
  unlocked: reply("unlocked", { ended: count }),
  relocked: reply("relocked", { kept: locks }),
  statusReply: reply("statusReply", { sets: Type.Array(setStatus), locks: Type.Array(lockStatus) }),
  ...successionReplies,
  ...successionEvents,
  superseded: message("superseded", { set: setName, version: id, by: id }),
  reinstated: message("reinstated", { set: setName, version: id }),
  retired: message("retired", { set: setName, versions: Type.Array(id) }),
  closing: message("closing", { reason: Type.String() }),
  error: message("error", {
    /** The request that failed; null: the connection, which is closed after this message. */
    re: orNull(requestId),
    code: Type.String({ pattern: "^ERR_CUDA_IPC_[A-Z0-9_]+$" }),
    message: Type.String(),
    details: Type.Record(Type.String(), Type.Unknown()),
  }),
};

/** Kept for lost devices and keep-alive: no other message may use them. */
export const reservedTypes = [...["recovered", "deviceLost", "ping", "pong"]];

/** The fields of a message that its sender writes: `type` and `fds` are put in by the connection. */
export type Body<T> = Omit<T, "type" | "fds">;

export type ClientMessages = { [K in keyof typeof clientSchemas]: Static<(typeof clientSchemas)[K]> };
export type OwnerMessages = { [K in keyof typeof ownerSchemas]: Static<(typeof ownerSchemas)[K]> };
export type ClientMessage = ClientMessages[keyof ClientMessages];
export type OwnerMessage = OwnerMessages[keyof OwnerMessages];

export type RequestType = keyof typeof replyTypes;
export type RequestMessage<K extends RequestType = RequestType> = ClientMessages[K];
export type ReplyMessage<K extends RequestType = RequestType> = OwnerMessages[(typeof replyTypes)[K]];
export type EventType =
  | "superseded"
  | "reinstated"
  | "retired"
  | "closing"
  | "mirrorChanged"
  | "mirrorMemory";

export type Schemas = Record<string, TObject>;
