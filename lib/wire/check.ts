import { CudaIpcError } from "../errors.js";
import type { StateChange } from "./changes.js";
import type { CheckedKind } from "./checked.js";
import { type EncodedMessage, encodeFrame } from "./encode.js";
import { type Validator, validators } from "./validators.js";

/** Knows every message that one side sends. */
export class MessageChecks {
  private readonly checks: ReadonlyMap<string, Validator>;

  constructor(private readonly side: "client" | "owner" | "job" | "loader") {
    this.checks = new Map(Object.entries(validators[side]));
  }

  /** Throws ERR_CUDA_IPC_PROTOCOL unless the message is as specified, whether it comes or goes. */
  check(message: { type: string }): void {
    const { type } = message;
    const check = this.checks.get(type);
    if (check === undefined) throw violation(`There is no message ${quoted(type)} in this direction.`);
    if (!check(message)) throw refusal(this.side, type, message);
  }

  /** The same, and its frame: for a message that is sent as it is to many. */
  encoded(message: { type: string }): EncodedMessage {
    const complete = { fds: 0, ...message };
    this.check(complete);
    return { frame: encodeFrame(complete) };
  }
}

export const clientChecks = new MessageChecks("client");
export const ownerChecks = new MessageChecks("owner");
/** What an owner says to a loader, and what that says. */
export const jobChecks = new MessageChecks("job");
export const loaderChecks = new MessageChecks("loader");

/** One change of an owner's state that was written down or sent by another. Throws ERR_CUDA_IPC_PROTOCOL. */
export function checkedChange(value: unknown): StateChange {
  const op = String((value as { op?: unknown } | null)?.op);
  if (!Object.hasOwn(validators.change, op)) throw violation(`There is no change ${quoted(op)}.`);
  if (!validators.change[op]!(value)) throw refusal("change", op, value);
  return value as StateChange;
}

function refusal(kind: CheckedKind, name: string, value: unknown): CudaIpcError {
  const { explain } = require("./explain.js") as typeof import("./explain.js");
  return violation(`The message ${quoted(name)} is not as specified: ${explain(kind, name, value)}.`);
}

function violation(message: string): CudaIpcError {
  return new CudaIpcError("ERR_CUDA_IPC_PROTOCOL", message);
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}
