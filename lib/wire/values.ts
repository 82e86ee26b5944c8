import { type Static, type TSchema, Type } from "@sinclair/typebox";

// The values that messages are made of. Objects are open: a receiver ignores fields it does not know.

const orNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** 128 random bits, or a 128-bit checksum. */
const id = Type.String({ pattern: "^[0-9a-f]{32}$" });
const setName = Type.String({ minLength: 1, maxLength: 256 });
const uuid = Type.String({ minLength: 1, maxLength: 128 });
const word = Type.String({ maxLength: 256 });
const sharing = Type.Union([Type.Literal("vmm"), Type.Literal("ipc")]);
const access = Type.Union([Type.Literal("read"), Type.Literal("readwrite")]);

const software = Type.Object({ name: word, version: word });
const driver = Type.Object({ provider: word, version: orNull(count) });
/** Who an owner is: `id` is random for each, so a client notices that it has another one. */
const owner = Type.Object({ id, pid: count, startTime: word });

/**
 * The tensors of a version by column, all of one length: half the bytes and half the parsing time of a list of
 * objects. Names are values and never keys, so no name is special.
 */
const tensors = Type.Object({
  names: Type.Array(Type.String()),
  dtypes: Type.Array(Type.String({ minLength: 1, maxLength: 32 })),
  shapes: Type.Array(Type.Array(count)),
  /** Index into the slabs of the version. */
  slabs: Type.Array(count),
  /** From the beginning of the slab. */
  offsets: Type.Array(count),
  bytes: Type.Array(count),
});

const versionFacts = {
  id,
  set: setName,
  /** Counts up from 1 within the set. */
  number: count,
  sharing,
  /** Whether `readwrite` may be asked for. */
  writable: Type.Boolean(),
  /** The identity of the content. */
  checksum: orNull(id),
};
/** What a version is, and the same with its tensors. */
const versionInfo = Type.Object(versionFacts);
const wholeVersion = Type.Object({ ...versionFacts, tensors });

const slabInfo = Type.Object({
  /** Names this memory for good, whatever descriptor or handle it comes as. */
  id,
  device: uuid,
  bytes: count,
  sharing,
  /** `ipc`: the 64 bytes of the CUDA IPC memory handle, in base64. `vmm`: null, and one descriptor. */
  handle: orNull(Type.String({ pattern: "^[A-Za-z0-9+/]{86}==$" })),
});

const holder = Type.Object({
  pid: count,
  startTime: word,
  uid: count,
  command: word,
  leases: count,
  /** Milliseconds since the epoch. */
  since: count,
});

const versionStatus = Type.Object({
  id,
  number: count,
  state: Type.Union(
    (["staged", "current", "superseded", "retired", "released", "freed"] as const).map((state) =>
      Type.Literal(state),
    ),
  ),
  sharing,
  writable: Type.Boolean(),
  pinned: Type.Boolean(),
  checksum: orNull(id),
  bytes: count,
  tensors: count,
  devices: Type.Array(uuid),
  /** Where it was loaded from, for people. */
  source: Type.String(),
  loadedAt: count,
  refCount: count,
  /** False while the owner is recovering: `refCount` is a lower bound then. */
  exact: Type.Boolean(),
  holders: Type.Array(holder),
});

/** A lock that is held, by whom, and how many wait for it. */
const lockStatus = Type.Object({
  set: setName,
  name: setName,
  pid: count,
  startTime: word,
  uid: count,
  command: word,
  since: count,
  waiting: count,
});

const setStatus = Type.Object({ name: setName, versions: Type.Array(versionStatus) });

export const values = {
  access,
  count,
  driver,
  id,
  lockStatus,
  orNull,
  owner,
  setName,
  setStatus,
  sharing,
  slabInfo,
  software,
  tensors,
  uuid,
  versionInfo,
  wholeVersion,
  word,
};

export type TensorColumns = Static<typeof tensors>;
export type VersionInfo = Static<typeof versionInfo>;
export type SlabInfo = Static<typeof slabInfo>;
export type SetStatus = Static<typeof setStatus>;
export type LockStatus = Static<typeof lockStatus>;
export type VersionStatus = Static<typeof versionStatus>;
