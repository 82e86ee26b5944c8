import { Errors } from "@sinclair/typebox/errors";
import { type CheckedKind, checked } from "./checked.js";

/** What is wrong with a value that its validator refuses. Loads the schemas: not to be imported before it is needed. */
export function explain(kind: CheckedKind, name: string, value: unknown): string {
  const first = Errors(checked[kind][name]!, [], value).First();
  return `${first?.path || "/"}: ${first?.message}`;
}
