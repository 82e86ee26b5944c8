import { CudaIpcError } from "../errors.js";
import type { Json } from "./json.js";
import { OddNumber } from "./json.js";

/** The rules a checkpoint can break; `docs/formats.md` says what each asks for. */
export type FormatRule =
  | "ordinary-file"
  | "header-length"
  | "header-too-large"
  | "header-truncated"
  | "header-start"
  | "utf-8"
  | "json"
  | "duplicate-key"
  | "metadata"
  | "tensor-fields"
  | "dtype"
  | "shape"
  | "offsets"
  | "overflow"
  | "sub-byte"
  | "size"
  | "contiguous"
  | "end-of-file"
  | "no-checkpoint"
  | "index"
  | "shard-path"
  | "shard-missing"
  | "wrong-shard"
  | "duplicate-tensor"
  | "tensor-missing"
  | "changed";

/** A refusal that names the file, the tensor if there is one, and the rule. */
export function refusal(rule: FormatRule, path: string, why: string, tensor?: string): CudaIpcError {
  const where = tensor === undefined ? path : `${path}: tensor ${quote(tensor)}`;
  // Nothing is wrong with the file: it can be loaded again, and the loader's threads say so by the same code.
  const code = rule === "changed" ? "ERR_CUDA_IPC_FILE_CHANGED" : "ERR_CUDA_IPC_FORMAT";
  return new CudaIpcError(code, `${where}: ${why} (rule: ${rule})`, {
    details: { path, tensor, rule },
  });
}

/** A value from a file, short enough for a message. */
export function quote(value: Json): string {
  if (value instanceof Map) return "an object";
  const text = value instanceof OddNumber ? value.text : JSON.stringify(value, plain);
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}

function plain(_key: string, value: unknown): unknown {
  if (value instanceof Map) return "(an object)";
  return value instanceof OddNumber ? `(number ${value.text})` : value;
}
