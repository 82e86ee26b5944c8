import { checkOptions, invalidArgument } from "../errors.js";
import type { NativeEvent, NativeStream } from "../native.js";

/** Work on a device to wait for: a Stream or an Event. */
export interface After {
  /** @internal */
  readonly native: NativeStream | NativeEvent;
}

/** What the addon wants: undefined is all of the process's work, null is nothing. */
export function readAfter(options: { after?: After | null }): NativeStream | NativeEvent | null | undefined {
  checkOptions(options, ["after"]);
  const { after } = options;
  if (after === undefined || after === null) return after;
  if (typeof after === "object" && "native" in after) return after.native;
  throw invalidArgument("after", "a Stream, an Event or null", after);
}
