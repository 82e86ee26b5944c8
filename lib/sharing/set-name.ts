import { invalidArgument } from "../errors.js";

/** The protocol's limit, in UTF-16 code units. */
const most = 256;

export function checkSetName(name: unknown): void {
  if (typeof name === "string" && name !== "" && name.length <= most) return;
  throw invalidArgument("name", `the name of a weight set (1 to ${most} characters)`, name);
}
