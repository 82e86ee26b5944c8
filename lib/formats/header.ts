import { isUtf8 } from "node:buffer";
import {
  bitsPerElement,
  type Dtype,
  dtypes,
  elementCount,
  elementsPerByteBoundary,
  isDtype,
} from "./dtypes.js";
import { type Json, JsonError, type JsonObject, parseJson } from "./json.js";
import { quote, refusal } from "./rules.js";

/** A tensor as a header describes it; offsets count from the first byte after the header. */
export interface HeaderTensor {
  name: string;
  dtype: Dtype;
  shape: number[];
  begin: number;
  end: number;
}

export interface Header {
  /** Ordered by offset, gapless from 0 to the end of the data. */
  tensors: HeaderTensor[];
  metadata: Map<string, string>;
}

/** The key that holds the file's own metadata, and can therefore not name a tensor. */
export const metadataKey = "__metadata__";

/** Reads a header and holds it against every rule of the format, for a file with `dataBytes` behind it. */
export function parseHeader(path: string, header: Buffer, dataBytes: number): Header {
  if (header[0] !== 0x7b) throw refusal("header-start", path, "the header does not begin with '{'");
  const entries = parseObject(path, header, ([name]) => (name === metadataKey ? undefined : name));
  const metadata = readMetadata(path, entries.get(metadataKey));
  entries.delete(metadataKey);

  const tensors: HeaderTensor[] = [];
  for (const [name, fields] of entries) tensors.push(readTensor(path, name, fields));
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCoverage(path, tensors, dataBytes);
  return { tensors, metadata };
}

/**
 * Parses UTF-8 bytes that must hold one JSON object. `tensorAt` says which tensor the keys that lead to a fault speak of.
 */
export function parseObject(
  path: string,
  bytes: Buffer,
  tensorAt: (keys: readonly string[]) => string | undefined,
): JsonObject {
  if (!isUtf8(bytes)) throw refusal("utf-8", path, "the JSON is not valid UTF-8");
  try {
    const value = parseJson(bytes.toString("utf8"));
    if (value instanceof Map) return value;
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const rule = error.isDuplicateKey ? "duplicate-key" : "json";
    throw refusal(rule, path, `the JSON is not valid: ${error.message}`, tensorAt(error.keys));
  }
  throw refusal("json", path, "the JSON is not an object");
}

function readMetadata(path: string, value: Json | undefined): Map<string, string> {
  const metadata = new Map<string, string>();
  if (value === undefined) return metadata;
  if (!(value instanceof Map)) {
    throw refusal("metadata", path, `${metadataKey} must be an object of strings, but is ${quote(value)}`);
  }
  for (const [key, text] of value) {
    if (typeof text !== "string") {
      throw refusal("metadata", path, `${metadataKey}.${key} must be a string, but is ${quote(text)}`);
    }
    metadata.set(key, text);
  }
  return metadata;
}

function readTensor(path: string, name: string, fields: Json): HeaderTensor {
  const known = ["dtype", "shape", "data_offsets"];
  if (!(fields instanceof Map) || fields.size !== known.length || !known.every((key) => fields.has(key))) {
    const found = fields instanceof Map ? quote([...fields.keys()]) : quote(fields);
    throw refusal(
      "tensor-fields",
      path,
      `expected exactly dtype, shape and data_offsets, found ${found}`,
      name,
    );
  }
  const dtype = fields.get("dtype")!;
  if (!isDtype(dtype)) {
    throw refusal(
      "dtype",
      path,
      `the dtype ${quote(dtype)} is unknown; known are ${dtypes.join(", ")}`,
      name,
    );
  }
  const shape = fields.get("shape")!;
  if (!isIntegers(shape)) {
    throw refusal(
      "shape",
      path,
      `the shape must be non-negative integers below 2^53, but is ${quote(shape)}`,
      name,
    );
  }
  const offsets = fields.get("data_offsets")!;
  if (!isIntegers(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    throw refusal(
      "offsets",
      path,
      `data_offsets must be [begin, end], begin <= end, but is ${quote(offsets)}`,
      name,
    );
  }
  const tensor = { name, dtype, shape, begin: offsets[0]!, end: offsets[1]! };
  checkSize(path, tensor);
  return tensor;
}

/** The JSON reader returns as numbers what is spelled as a non-negative safe integer, and nothing else. */
function isIntegers(value: Json): value is number[] {
  return Array.isArray(value) && value.every((item) => typeof item === "number");
}

function checkSize(path: string, { name, dtype, shape, begin, end }: HeaderTensor): void {
  const elements = elementCount(shape);
  const bits = elements === undefined ? Number.POSITIVE_INFINITY : elements * bitsPerElement(dtype);
  if (bits > Number.MAX_SAFE_INTEGER) {
    throw refusal("overflow", path, `the size of ${dtype} ${quote(shape)} overflows`, name);
  }
  if (bits % 8 !== 0) {
    const multiple = elementsPerByteBoundary(dtype);
    const why = `${elements} elements of ${dtype} do not end at a byte; a multiple of ${multiple} does`;
    throw refusal("sub-byte", path, why, name);
  }
  if (end - begin !== bits / 8) {
    const why = `${dtype} ${quote(shape)} takes ${bits / 8} bytes, but data_offsets [${begin}, ${end}] span ${end - begin}`;
    throw refusal("size", path, why, name);
  }
}

/** No holes, no overlap, nothing behind the last tensor: a byte of the file belongs to exactly one tensor. */
function checkCoverage(path: string, tensors: HeaderTensor[], dataBytes: number): void {
  let next = 0;
  for (const { name, begin, end } of tensors) {
    if (begin !== next) {
      const flaw = begin > next ? "leaves a hole behind" : "overlaps";
      throw refusal(
        "contiguous",
        path,
        `begins at ${begin} and ${flaw} the tensor that ends at ${next}`,
        name,
      );
    }
    next = end;
  }
  if (next !== dataBytes) {
    const flaw = next > dataBytes ? "the file is cut off" : "bytes follow that belong to no tensor";
    const why = `the tensors end at ${next}, the data at ${dataBytes}: ${flaw}`;
    const cut = tensors.find(({ end }) => end > dataBytes);
    throw refusal("end-of-file", path, why, cut?.name);
  }
}
