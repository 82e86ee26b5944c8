/** cuda-ipc: one copy of the model weights on the GPU, mapped by every process that needs them. */
export * from "./cuda/index.js";
export { CudaIpcError, type ErrorCode } from "./errors.js";
export type { Dtype, HostArray } from "./formats/dtypes.js";
export { decodeBf16, decodeF16 } from "./formats/half.js";
export { type Checkpoint, openCheckpoint } from "./formats/safetensors.js";
export { type TensorToWrite, type WriteOptions, writeSafetensors } from "./formats/write.js";
export type { LoadProgress } from "./loading/loaded.js";
export type { Placement } from "./loading/plan.js";
export type { TensorInput, WeightsInput } from "./loading/source.js";
export type { After } from "./sharing/after.js";
export { type AttachOptions, attach } from "./sharing/attach.js";
export { disconnect } from "./sharing/clients.js";
export { type FollowedVersion, Following, type FollowOptions, follow } from "./sharing/following.js";
export type { Holder, RefCount } from "./sharing/ledger-types.js";
export { Lock, type LockOptions } from "./sharing/lock.js";
export {
  type CloseOptions,
  type LoadOptions,
  Owner,
  type OwnerOptions,
  type Recovery,
} from "./sharing/owner.js";
export { type OwnerStatus, type OwnerStatusOptions, ownerStatus } from "./sharing/owner-status.js";
export type { ServiceManagerOption } from "./sharing/service-manager/service-manager.js";
export { defaultSocket } from "./sharing/socket-path.js";
export type { Standby } from "./sharing/standby.js";
export { Tensor } from "./sharing/tensor.js";
export { Version } from "./sharing/version.js";
export { type LatestOptions, type ReleaseOptions, Weights } from "./sharing/weights.js";
export type { LockStatus, SetStatus, VersionStatus } from "./wire/values.js";
