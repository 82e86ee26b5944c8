import { CudaIpcError } from "../errors.js";
import { type Dtype, isDtype, tensorBytes } from "../formats/dtypes.js";
import type { TensorEntry } from "../loading/plan.js";
import type { TensorColumns } from "../wire/values.js";

/** Of the columns nothing is taken for granted. */
export type UncheckedColumns = { readonly [K in keyof TensorColumns]: readonly unknown[] };
type SlabSize = { readonly bytes: number };

/**
 * Holds the tensors of a version, as one owner tells another, against its slabs: every tensor has a name of its own and
 * a known dtype, has the size that its shape says, and lies within its slab, so that no view can reach beyond the
 * memory. Of the columns nothing is taken for granted.
 */
export function checkManifest(
  columns: UncheckedColumns,
  slabs: readonly SlabSize[],
): Map<string, TensorEntry> {
  const { names, dtypes, shapes, slabs: indices, offsets, bytes } = columns;
  for (const column of [dtypes, shapes, indices, offsets, bytes]) {
    if (column.length !== names.length) {
      throw broken(
        `its columns differ in length: ${names.length} names, but a column of ${column.length}`,
        {},
      );
    }
  }
  const entries = new Map<string, TensorEntry>();
  for (let index = 0; index < names.length; index++) {
    const tensor = {
      name: names[index],
      dtype: dtypes[index],
      shape: shapes[index],
      slab: indices[index],
      offset: offsets[index],
      bytes: bytes[index],
    };
    if (!isWhole(tensor, slabs) || entries.has(tensor.name)) throw refusal(tensor, slabs);
    entries.set(tensor.name, tensor);
  }
  return entries;
}

type Unchecked = { readonly [K in keyof TensorEntry]: unknown };

function isWhole(tensor: Unchecked, slabs: readonly SlabSize[]): tensor is TensorEntry {
  const { name, dtype, shape, slab, offset, bytes } = tensor;
  return (
    typeof name === "string" &&
    isDtype(dtype) &&
    isShape(shape) &&
    isCount(bytes) &&
    tensorBytes(dtype, shape) === bytes &&
    isCount(offset) &&
    isCount(slab) &&
    slab < slabs.length &&
    offset + bytes <= slabs[slab]!.bytes
  );
}

/** Says which of those it is. */
function refusal({ name, dtype, shape, slab, offset, bytes }: Unchecked, slabs: readonly SlabSize[]) {
  if (typeof name !== "string") return broken(`a tensor has no name, but ${JSON.stringify(name)}`, {});
  const why = () => {
    if (!isDtype(dtype)) return `its dtype ${JSON.stringify(dtype)} is not known`;
    if (!isShape(shape)) return `its shape ${JSON.stringify(shape)} is not a list of dimensions`;
    if (!isCount(bytes) || tensorBytes(dtype as Dtype, shape) !== bytes) {
      return `its ${JSON.stringify(bytes)} bytes do not fit its dtype and shape`;
    }
    if (!isCount(slab) || slab >= slabs.length) return `there is no slab ${JSON.stringify(slab)}`;
    if (!isCount(offset)) return `its offset ${JSON.stringify(offset)} is not a number of bytes`;
    const beyond = offset + bytes - slabs[slab]!.bytes;
    return beyond > 0 ? `it ends ${beyond} bytes behind its slab` : "its name is there twice";
  };
  return broken(`tensor ${JSON.stringify(name)}: ${why()}`, { tensor: name });
}

function isCount(value: unknown): value is number {
  return (
    typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value
  );
}

function isShape(value: unknown): value is number[] {
  if (!Array.isArray(value)) return false;
  for (const dimension of value) if (!isCount(dimension)) return false;
  return true;
}

function broken(why: string, details: { tensor?: string }): CudaIpcError {
  return new CudaIpcError("ERR_CUDA_IPC_PROTOCOL", `The list of a version's tensors is broken: ${why}.`, {
    details,
  });
}
