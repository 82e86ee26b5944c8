/** cuda-ipc: one copy of the model weights on the GPU, mapped by every process that needs them. */
export * from "./cuda/index.js";
export { CudaIpcError, type ErrorCode } from "./errors.js";
export type { Dtype, HostArray } from "./formats/dtypes.js";
export { decodeBf16, decodeF16 } from "./formats/half.js";
export { openCheckpoint } from "./formats/safetensors.js";
export { writeSafetensors } from "./formats/write.js";
export type { LoadProgress } from "./loading/loaded.js";
export type { Placement } from "./loading/plan.js";
export type { TensorInput, WeightsInput } from "./loading/source.js";
export { type AttachOptions, attach } from "./sharing/attach.js";
export type { Holder, RefCount } from "./sharing/ledger-types.js";
export { type LoadOptions, Owner, type OwnerOptions } from "./sharing/owner.js";
export { disconnect } from "./sharing/owner-client.js";
export { defaultSocket } from "./sharing/socket-path.js";
export { Tensor } from "./sharing/tensor.js";
export { Version } from "./sharing/version.js";
export { type ReleaseOptions, Weights } from "./sharing/weights.js";
