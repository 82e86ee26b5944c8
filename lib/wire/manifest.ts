import { CudaIpcError } from "../errors.js";
import type { TensorColumns } from "./values.js";

/** One tensor of a version's manifest. */
export interface ManifestTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Index into the version's slabs. */
  readonly slab: number;
  readonly offset: number;
  readonly bytes: number;
}

export function packTensors(tensors: readonly ManifestTensor[]): TensorColumns {
  return {
    names: tensors.map(({ name }) => name),
    dtypes: tensors.map(({ dtype }) => dtype),
    shapes: tensors.map(({ shape }) => [...shape]),
    slabs: tensors.map(({ slab }) => slab),
    offsets: tensors.map(({ offset }) => offset),
    bytes: tensors.map(({ bytes }) => bytes),
  };
}

/** Checks that the columns fit each other; that tensors fit their slabs and dtypes is for the caller to check. */
export function unpackTensors(columns: TensorColumns): ManifestTensor[] {
  const { names, dtypes, shapes, slabs, offsets, bytes } = columns;
  for (const column of [dtypes, shapes, slabs, offsets, bytes]) {
    if (column.length !== names.length) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_PROTOCOL",
        `The columns of a version's tensors differ in length: ${names.length} names, but a column of ${column.length}.`,
      );
    }
  }
  return names.map((name, index) => ({
    name,
    dtype: dtypes[index]!,
    shape: shapes[index]!,
    slab: slabs[index]!,
    offset: offsets[index]!,
    bytes: bytes[index]!,
  }));
}
