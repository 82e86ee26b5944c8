import { types } from "node:util";
import { CudaIpcError, checkOptions, invalidArgument } from "../errors.js";
import {
  type Dtype,
  dtypeOfArray,
  dtypes,
  elementCount,
  elementsPerByteBoundary,
  type HostArray,
  isDtype,
  tensorBytes,
} from "../formats/dtypes.js";
import { assertUnchanged, openCheckpoint, type TensorSource } from "../formats/safetensors.js";

/** One tensor given from memory: a typed array or Buffer (one dimension, its own dtype), or with dtype and shape. */
export type TensorInput =
  | HostArray
  | Uint8ClampedArray
  | { dtype: Dtype; shape: readonly number[]; data: ArrayBufferView };

/** What a version can be loaded from: a safetensors file, index or folder, or tensors by name. */
export type WeightsInput = string | Record<string, TensorInput> | ReadonlyMap<string, TensorInput>;

/** What the loader reads: sources of bytes, and where in them each tensor lies. */
export interface WeightsSource {
  /** Files by path, or memory. */
  readonly parts: (string | Uint8Array)[];
  /** `file` is an index into `parts`. */
  readonly tensors: TensorSource[];
  /** For people: a path, or "memory". */
  readonly description: string;
  /** Differs when anything about the files was changed; null for memory. */
  readonly contentKey: string | null;
  /** Rejects when a file was changed while it was being read. */
  assertUnchanged(signal?: AbortSignal): Promise<void>;
}

/** Reads headers or looks at the arrays; never reads a file's data. Bad input is refused here, before any allocation. */
export async function openSource(input: WeightsInput, signal?: AbortSignal): Promise<WeightsSource> {
  if (typeof input === "string") return fromCheckpoint(input, signal);
  if (types.isMap(input) || isPlain(input)) return fromMemory(input);
  throw invalidArgument("source", "a path (a string), or tensors by name (an object or a Map)", input);
}

/** An object of no class, of whichever realm: a URL or a list would be taken for weights without tensors. */
function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

async function fromCheckpoint(location: string, signal?: AbortSignal): Promise<WeightsSource> {
  const checkpoint = await openCheckpoint(location, { signal });
  return {
    parts: checkpoint.files.map((file) => file.path),
    tensors: [...checkpoint.tensors.values()],
    description: location,
    contentKey: checkpoint.contentKey,
    assertUnchanged: (signal) => assertUnchanged(checkpoint, { signal }),
  };
}

function fromMemory(input: Record<string, TensorInput> | ReadonlyMap<string, TensorInput>): WeightsSource {
  const entries = types.isMap(input) ? [...input] : Object.entries(input as Record<string, TensorInput>);
  const parts: Uint8Array[] = [];
  const tensors = entries.map(([name, value]): TensorSource => {
    const { dtype, shape, data } = describe(name, value);
    const bytes = tensorBytes(dtype, shape);
    if (bytes !== data.byteLength) throw misfit(name, dtype, shape, data.byteLength);
    parts.push(bytesOf(name, data));
    return { name, dtype, shape: [...shape], file: parts.length - 1, fileOffset: 0, bytes };
  });
  return { parts, tensors, description: "memory", contentKey: null, assertUnchanged: async () => {} };
}

function misfit(name: string, dtype: Dtype, shape: readonly number[], given: number): CudaIpcError {
  const bytes = tensorBytes(dtype, shape);
  const count = elementCount(shape);
  const elements = elementsPerByteBoundary(dtype);
  const broken = count !== undefined && count % elements !== 0;
  const why =
    bytes !== undefined
      ? `has ${bytes} bytes, but its data has ${given}`
      : broken
        ? `does not end at a byte: its elements come by ${elements}`
        : "is larger than JavaScript can count";
  return new CudaIpcError(
    "ERR_CUDA_IPC_INVALID_ARGUMENT",
    `Tensor ${JSON.stringify(name)}: ${dtype} of shape [${shape}] ${why}`,
    { details: { tensor: name } },
  );
}

/** Without a copy. */
function bytesOf(name: string, data: ArrayBufferView): Uint8Array {
  try {
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  } catch (cause) {
    throw new CudaIpcError(
      "ERR_CUDA_IPC_INVALID_ARGUMENT",
      `Tensor ${JSON.stringify(name)}: the buffer of its data is detached, as it was transferred elsewhere. Load it before, or from a copy.`,
      { cause, details: { tensor: name } },
    );
  }
}

function describe(
  name: string,
  value: TensorInput,
): { dtype: Dtype; shape: readonly number[]; data: ArrayBufferView } {
  const label = `tensor ${JSON.stringify(name)}`;
  if (ArrayBuffer.isView(value)) {
    const dtype = dtypeOfArray(value);
    if (dtype === undefined) {
      const expected = "a typed array or Buffer of a dtype, or { dtype, shape, data }";
      throw invalidArgument(label, expected, Object.prototype.toString.call(value));
    }
    return { dtype, shape: [(value as Uint8Array).length], data: value };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalidArgument(label, "a typed array, a Buffer or { dtype, shape, data }", value);
  }
  checkOptions(value, ["dtype", "shape", "data"], label);
  if (!isDtype(value.dtype))
    throw invalidArgument(`${label}.dtype`, `one of ${dtypes.join(", ")}`, value.dtype);
  if (!Array.isArray(value.shape) || !value.shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw invalidArgument(`${label}.shape`, "an array of sizes", value.shape);
  }
  if (!ArrayBuffer.isView(value.data))
    throw invalidArgument(`${label}.data`, "a typed array or Buffer", value.data);
  return value;
}
