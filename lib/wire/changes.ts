import { type Static, type TProperties, Type } from "@sinclair/typebox";
import { values } from "./values.js";

const { count, id, orNull, setName, sharing, uuid, word } = values;

// What an owner's state is made of: a line of the recovery journal is a list of changes, and so is what a standby hears.

const digest = Type.String({ pattern: "^[0-9a-f]{64}$" });

const processKey = Type.String({ minLength: 1, maxLength: 512 });

const process = Type.Object({
  key: processKey,
  pid: count,
  startTime: word,
  uid: count,
  command: word,
  proven: Type.Boolean(),
});

/** A version without its memory: everything that an offer of that memory is held against. */
const storedVersion = Type.Object({
  id,
  set: setName,
  number: count,
  sharing,
  writable: Type.Boolean(),
  /** Of the content, as the device computed it. */
  checksum: id,
  /** Digest of the list of tensors. */
  manifest: id,
  tensors: count,
  slabs: Type.Array(Type.Object({ id, device: uuid, bytes: count })),
  source: Type.String(),
  /** Digests of what it was loaded from and to: the same for a load that would make the same again. */
  origin: Type.Optional(Type.Object({ files: digest, place: digest })),
  loadedAt: count,
});

const storedLock = Type.Object({
  lock: id,
  lease: id,
  set: setName,
  name: Type.String({ minLength: 1, maxLength: 256 }),
  process: processKey,
  since: count,
});

const change = <Name extends string, Fields extends TProperties>(op: Name, fields: Fields) =>
  Type.Object({ op: Type.Literal(op), ...fields });

export const changeSchemas = {
  versionAdded: change("versionAdded", { version: storedVersion }),
  versionState: change("versionState", {
    id,
    state: Type.Union(
      (["staged", "current", "superseded", "retired", "released"] as const).map((name) => Type.Literal(name)),
    ),
    pinned: Type.Boolean(),
    handedBack: Type.Boolean(),
  }),
  versionGone: change("versionGone", { id }),
  /** The highest number that a set has used, though no version of it may be left. */
  numberUsed: change("numberUsed", { set: setName, number: count }),
  /** Before the first lease or keeper's claim of a process. */
  process: change("process", { process }),
  leaseGranted: change("leaseGranted", { id, version: id, process: processKey, since: count }),
  leaseEnded: change("leaseEnded", { id }),
  keeperAdded: change("keeperAdded", {
    id: Type.String({ minLength: 1, maxLength: 512 }),
    version: id,
    process: orNull(processKey),
    since: count,
  }),
  keeperGone: change("keeperGone", { id: Type.String({ minLength: 1, maxLength: 512 }), version: id }),
  lockHeld: change("lockHeld", { lock: storedLock }),
  lockFreed: change("lockFreed", { lock: id }),
};

type Changes = { [K in keyof typeof changeSchemas]: Static<(typeof changeSchemas)[K]> };
export type StateChange = Changes[keyof Changes];
export type StoredVersion = Static<typeof storedVersion>;
export type StoredLock = Static<typeof storedLock>;
