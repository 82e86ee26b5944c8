import { CudaIpcError } from "../errors.js";
import type { StateChange } from "./changes.js";
import type { CheckedKind } from "./checked.js";
import { Fragment, fragmentFields } from "./fragment.js";
import { type Validator, validators } from "./validators.js";
import type { SlabInfo, VersionInfo } from "./values.js";

/** Knows every message that one side sends. */
export class MessageChecks {
  private readonly checks: ReadonlyMap<string, Validator>;

  constructor(private readonly side: "client" | "owner" | "job" | "loader") {
    this.checks = new Map(Object.entries(validators[side]));
  }

  /** Throws ERR_CUDA_IPC_PROTOCOL. */
  received(message: { type: string }): void {
    const { type } = message;
    const check = this.checks.get(type);
    if (check === undefined) throw violation(`There is no message ${quoted(type)} in this direction.`);
    if (!check(message)) throw refusal(this.side, type, message);
  }

  /** The same for a message on its way out, in which fragments may stand for values that have been checked. */
  sent(message: { type: string }): void {
    const { type } = message;
    const fields = this.side === "owner" ? fragmentFields.get(type) : undefined;
    if (fields?.every((field) => (message as Record<string, unknown>)[field] instanceof Fragment)) {
      if (!validators.envelope[type]!(message)) throw refusal("envelope", type, message);
    } else {
      this.received(message);
    }
  }
}

export const clientChecks = new MessageChecks("client");
export const ownerChecks = new MessageChecks("owner");
/** What an owner says to a loader, and what that says. */
export const jobChecks = new MessageChecks("job");
export const loaderChecks = new MessageChecks("loader");

/** The parts of an `attached` that are the same for every worker: checked and serialised once for each version. */
export function versionFragment(version: VersionInfo): Fragment<VersionInfo> {
  return checkedFragment("version", version);
}

export function slabsFragment(slabs: SlabInfo[]): Fragment<SlabInfo[]> {
  return checkedFragment("slabs", slabs);
}

/** One change of an owner's state that was written down or sent by another. Throws ERR_CUDA_IPC_PROTOCOL. */
export function checkedChange(value: unknown): StateChange {
  const op = String((value as { op?: unknown } | null)?.op);
  if (!Object.hasOwn(validators.change, op)) throw violation(`There is no change ${quoted(op)}.`);
  if (!validators.change[op]!(value)) throw refusal("change", op, value);
  return value as StateChange;
}

function checkedFragment<T>(name: "version" | "slabs", value: T): Fragment<T> {
  if (!validators.part[name]!(value)) throw refusal("part", name, value);
  return new Fragment(value);
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
