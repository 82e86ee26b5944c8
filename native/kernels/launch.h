// Where a thread is in a launch of one dimension.
#pragma once

namespace cuda_ipc {

__device__ inline unsigned long long thread_number() {
  return static_cast<unsigned long long>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__device__ inline unsigned long long thread_count() {
  return static_cast<unsigned long long>(gridDim.x) * blockDim.x;
}

// For kernels whose warps work together: a launch failure instead of a wrong result.
__device__ inline void require_whole_warps() {
  if (blockDim.x % 32 != 0 || blockDim.y * blockDim.z != 1) __trap();
}

}  // namespace cuda_ipc
