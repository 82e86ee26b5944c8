import type { TSchema } from "@sinclair/typebox";
import { changeSchemas } from "./changes.js";
import { jobSchemas, loaderSchemas } from "./loader-messages.js";
import { clientSchemas, ownerSchemas } from "./messages.js";

/**
 * Everything that is ever checked. scripts/generate-validators.js makes a function of each, so that a process loads
 * those functions and not the schemas.
 */
export const checked = {
  client: clientSchemas as Record<string, TSchema>,
  owner: ownerSchemas as Record<string, TSchema>,
  job: jobSchemas as Record<string, TSchema>,
  loader: loaderSchemas as Record<string, TSchema>,
  /** What an owner's state is made of. */
  change: changeSchemas as Record<string, TSchema>,
};

export type CheckedKind = keyof typeof checked;
