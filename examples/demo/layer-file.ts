/** The linear layer as it lies in a safetensors file: written for the occasion, or found in one that is given. */
import { CudaIpcError, type Dtype, openCheckpoint, writeSafetensors } from "../../lib/index.js";

export type WeightDtype = "F32" | "F16" | "BF16";

export interface LayerFile {
  /** What the owner loads. */
  checkpoint: string;
  /** Bytes of all tensors in the checkpoint. */
  modelBytes: number;
  tensor: string;
  dtype: WeightDtype;
  inputs: number;
  outputs: number;
  /** Where the layer's bytes lie. */
  path: string;
  offset: number;
}

const isWeightDtype = (dtype: Dtype): dtype is WeightDtype => ["F32", "F16", "BF16"].includes(dtype);

/** The largest matrix in a checkpoint. */
export async function findLayer(location: string): Promise<LayerFile> {
  const checkpoint = await openCheckpoint(location);
  let largest: LayerFile | undefined;
  let most = 0;
  let modelBytes = 0;
  for (const { name, dtype, shape, file, fileOffset, bytes } of checkpoint.tensors.values()) {
    modelBytes += bytes;
    if (!isWeightDtype(dtype) || shape.length !== 2 || bytes <= most) continue;
    most = bytes;
    const [outputs, inputs] = shape as [number, number];
    const path = checkpoint.files[file]!.path;
    largest = {
      checkpoint: location,
      modelBytes: 0,
      tensor: name,
      dtype,
      inputs,
      outputs,
      path,
      offset: fileOffset,
    };
  }
  if (largest !== undefined) return { ...largest, modelBytes };
  throw new CudaIpcError(
    "ERR_CUDA_IPC_INVALID_ARGUMENT",
    `${location} holds no matrix (two dimensions) of dtype F32, F16 or BF16, so there is no layer to run.`,
  );
}

/** Writes a layer of small-integer weights: sums of their products are exact in f32, in any order. */
export async function writeLayer(file: string, inputs: number, outputs: number): Promise<LayerFile> {
  const data = () => smallIntegers(inputs * outputs);
  await writeSafetensors(file, [{ name: "linear.weight", dtype: "F32", shape: [outputs, inputs], data }]);
  return findLayer(file);
}

const chunkElements = 4 << 20;

function* smallIntegers(count: number): Generator<Float32Array> {
  const chunk = new Float32Array(Math.min(count, chunkElements));
  let state = 1;
  for (let left = count; left > 0; left -= chunk.length) {
    for (let i = 0; i < chunk.length; i++) {
      // A linear congruential generator; its upper bits are the good ones.
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      chunk[i] = ((state >>> 24) % 9) - 4;
    }
    yield left < chunk.length ? chunk.subarray(0, left) : chunk;
  }
}
