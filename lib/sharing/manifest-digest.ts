import { crypto } from "../crypto.js";
import { CudaIpcError } from "../errors.js";
import { maxFrameBytes } from "../wire/limits.js";
import { type ManifestTensor, packTensors } from "../wire/manifest.js";

/** 128 bits that are others for any other list of tensors. */
export function manifestDigest(tensors: readonly ManifestTensor[]): string {
  return digest(textOf(tensors));
}

/** The same of a set that is to be published. ERR_CUDA_IPC_FRAME_LIMIT when they are too many. */
export function checkedManifestDigest(set: string, tensors: readonly ManifestTensor[]): string {
  const text = textOf(tensors);
  // Workers that offer their memory to another owner, and owners that send it to a standby, tell of all of them in one message.
  const bytes = Buffer.byteLength(text) + besides;
  if (bytes > maxFrameBytes) throw tooLong(set, tensors.length, bytes);
  return digest(text);
}

/** For whatever else such a message says. */
const besides = 1024 * 1024;

function textOf(tensors: readonly ManifestTensor[]): string {
  return JSON.stringify(Object.values(packTensors(tensors)));
}

function digest(text: string): string {
  return crypto().createHash("sha256").update(text).digest("hex").slice(0, 32);
}

function tooLong(set: string, tensors: number, bytes: number): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_FRAME_LIMIT",
    `The list of the ${tensors} tensors of ${JSON.stringify(set)} takes ${bytes} bytes, and ${maxFrameBytes} is the protocol's limit. Publish them as several sets.`,
    { details: { tensors, bytes, limit: maxFrameBytes } },
  );
}
