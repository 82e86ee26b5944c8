import { type TObject, type TSchema, Type } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler } from "@sinclair/typebox/compiler";
import { CudaIpcError } from "../errors.js";
import { Fragment } from "./fragment.js";
import { clientSchemas, ownerSchemas, type Schemas } from "./messages.js";
import { type SlabInfo, type VersionInfo, values } from "./values.js";

/** Knows every message that one side sends. Compiled when this module is loaded, not when a message comes. */
export class MessageChecks {
  private readonly checks = new Map<string, TypeCheck<TSchema>>();
  private readonly envelopes = new Map<string, { fields: string[]; check: TypeCheck<TSchema> }>();

  constructor(schemas: Schemas, fragments: Record<string, string[]> = {}) {
    for (const [type, schema] of Object.entries(schemas)) this.checks.set(type, TypeCompiler.Compile(schema));
    for (const [type, fields] of Object.entries(fragments)) {
      this.envelopes.set(type, { fields, check: TypeCompiler.Compile(without(schemas[type]!, fields)) });
    }
  }

  /** Throws ERR_CUDA_IPC_PROTOCOL. */
  received(message: { type: string }): void {
    const check = this.checks.get(message.type);
    if (check === undefined) {
      throw violation(`There is no message ${quoted(message.type)} in this direction.`);
    }
    refuse(check, message, message.type);
  }

  /** The same for a message on its way out, in which fragments may stand for values that have been checked. */
  sent(message: { type: string }): void {
    const envelope = this.envelopes.get(message.type);
    const fields = message as Record<string, unknown>;
    if (envelope?.fields.every((field) => fields[field] instanceof Fragment)) {
      refuse(envelope.check, message, message.type);
    } else {
      this.received(message);
    }
  }
}

export const clientChecks = new MessageChecks(clientSchemas);
export const ownerChecks = new MessageChecks(ownerSchemas, { attached: ["version", "slabs"] });

const versionCheck = TypeCompiler.Compile(values.versionInfo);
const slabsCheck = TypeCompiler.Compile(Type.Array(values.slabInfo));

/** The parts of an `attached` that are the same for every worker: checked and serialised once for each version. */
export function versionFragment(version: VersionInfo): Fragment<VersionInfo> {
  refuse(versionCheck, version, "version");
  return new Fragment(version);
}

export function slabsFragment(slabs: SlabInfo[]): Fragment<SlabInfo[]> {
  refuse(slabsCheck, slabs, "slabs");
  return new Fragment(slabs);
}

function without(schema: TObject, fields: string[]): TObject {
  return Type.Object({
    ...schema.properties,
    ...Object.fromEntries(fields.map((field) => [field, Type.Unknown()])),
  });
}

function refuse(check: TypeCheck<TSchema>, value: unknown, what: string): void {
  if (check.Check(value)) return;
  const first = check.Errors(value).First();
  throw violation(
    `The message ${quoted(what)} is not as specified: ${first?.path || "/"}: ${first?.message}.`,
  );
}

function violation(message: string): CudaIpcError {
  return new CudaIpcError("ERR_CUDA_IPC_PROTOCOL", message);
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}
