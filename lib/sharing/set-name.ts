import { invalidArgument } from "../errors.js";
import { hasUtf8Form } from "../formats/text.js";

/** The protocol's limit, in UTF-16 code units. */
const most = 256;

export function checkSetName(name: unknown): void {
  if (typeof name === "string" && name !== "" && name.length <= most && hasUtf8Form(name)) return;
  const expected = `the name of a weight set (1 to ${most} characters, no unpaired surrogates)`;
  throw invalidArgument("name", expected, name);
}
