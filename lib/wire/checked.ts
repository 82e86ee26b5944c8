import { type TObject, type TSchema, Type } from "@sinclair/typebox";
import { changeSchemas } from "./changes.js";
import { fragmentFields } from "./fragment.js";
import { jobSchemas, loaderSchemas } from "./loader-messages.js";
import { clientSchemas, ownerSchemas } from "./messages.js";
import { values } from "./values.js";

/**
 * Everything that is ever checked. scripts/generate-validators.js makes a function of each, so that a process loads
 * those functions and not the schemas.
 */
export const checked = {
  client: clientSchemas as Record<string, TSchema>,
  owner: ownerSchemas as Record<string, TSchema>,
  job: jobSchemas as Record<string, TSchema>,
  loader: loaderSchemas as Record<string, TSchema>,
  /** An owner's messages without what fragments stand for. */
  envelope: Object.fromEntries(
    [...fragmentFields].map(([type, fields]) => [
      type,
      without(ownerSchemas[type as keyof typeof ownerSchemas], fields),
    ]),
  ) as Record<string, TSchema>,
  /** What fragments stand for. */
  part: { version: values.versionInfo, slabs: Type.Array(values.slabInfo) } as Record<string, TSchema>,
  /** What an owner's state is made of. */
  change: changeSchemas as Record<string, TSchema>,
};

export type CheckedKind = keyof typeof checked;

function without(schema: TObject, fields: readonly string[]): TObject {
  return Type.Object({
    ...schema.properties,
    ...Object.fromEntries(fields.map((field) => [field, Type.Unknown()])),
  });
}
