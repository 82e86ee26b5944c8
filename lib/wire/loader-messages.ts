import { type Static, Type } from "@sinclair/typebox";
import { maxFrameFds } from "./limits.js";
import { values } from "./values.js";

// What an owner and a process that it starts to work on the device say to each other. Both are of one version of this
// library, so this is not part of the protocol that other programs speak.

const { count, id, orNull, uuid } = values;
const descriptors = Type.Integer({ minimum: 0, maximum: maxFrameFds });
const atLeastOne = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

/** To the loader: its one job. */
export const jobSchemas = {
  load: Type.Object({
    type: Type.Literal("load"),
    fds: descriptors,
    /** Paths of files; null: the next descriptor. */
    sources: Type.Array(orNull(Type.String())),
    slabs: Type.Array(
      Type.Object({
        /** Ordinal, the same in both processes. */
        device: count,
        bytes: atLeastOne,
        runs: Type.Array(Type.Object({ source: count, offset: count, bytes: count, target: count })),
        gaps: Type.Array(Type.Tuple([count, count])),
      }),
    ),
    threads: Type.Optional(atLeastOne),
    io: Type.Optional(Type.Union([Type.Literal("auto"), Type.Literal("buffered"), Type.Literal("direct")])),
    verify: Type.Optional(Type.Boolean()),
  }),
  verify: Type.Object({
    type: Type.Literal("verify"),
    /** One for each slab. */
    fds: descriptors,
    slabs: Type.Array(Type.Object({ id, device: uuid, bytes: atLeastOne, contentBytes: atLeastOne })),
  }),
};

/** From the loader: progress, and then one of the others. */
export const loaderSchemas = {
  progress: Type.Object({
    type: Type.Literal("progress"),
    fds: Type.Literal(0),
    bytes: count,
    rate: Type.Number({ minimum: 0 }),
  }),
  loaded: Type.Object({
    type: Type.Literal("loaded"),
    /** One for each slab. */
    fds: descriptors,
    slabs: Type.Array(Type.Object({ id, device: uuid, bytes: atLeastOne, checksum: id })),
  }),
  verified: Type.Object({
    type: Type.Literal("verified"),
    fds: Type.Literal(0),
    /** Of each slab's content. */
    checksums: Type.Array(id),
  }),
  failed: Type.Object({
    type: Type.Literal("failed"),
    fds: Type.Literal(0),
    code: Type.String({ pattern: "^ERR_CUDA_IPC_[A-Z0-9_]+$" }),
    message: Type.String(),
    details: Type.Record(Type.String(), Type.Unknown()),
    /** What the driver or the system said, where one did. */
    call: Type.Optional(Type.String()),
    errno: Type.Optional(Type.Integer()),
    cudaResult: Type.Optional(Type.Integer()),
    cudaName: Type.Optional(Type.String()),
  }),
};

export type JobMessages = { [K in keyof typeof jobSchemas]: Static<(typeof jobSchemas)[K]> };
export type LoaderMessages = { [K in keyof typeof loaderSchemas]: Static<(typeof loaderSchemas)[K]> };
export type JobMessage = JobMessages[keyof JobMessages];
export type LoaderMessage = LoaderMessages[keyof LoaderMessages];
