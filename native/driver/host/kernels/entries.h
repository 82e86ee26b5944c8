// The host implementations behind the table, one file per kind.
#pragma once

#include <cstddef>
#include <limits>

#include "driver/host/kernel_registry.h"

namespace cuda_ipc::host {

template <class T>
T parameter(const HostLaunch& launch, int index) {
  return *static_cast<const T*>(launch.parameters[index]);
}

// `count` elements at `pointer`, for a kernel that takes any alignment. False when they may not be touched;
// true with null for an empty range.
template <class T>
bool range(const HostLaunch& launch, cu::CUdeviceptr pointer, unsigned long long count, bool write,
           T*& result) {
  result = nullptr;
  if (count == 0) return true;
  if (count > std::numeric_limits<size_t>::max() / sizeof(T)) return false;
  result = static_cast<T*>(launch.access(pointer, count * sizeof(T), write));
  return result != nullptr;
}

// What a GPU reports for a load or store that its alignment does not allow.
template <class T>
bool misaligned(cu::CUdeviceptr pointer) {
  return pointer % alignof(T) != 0;
}

// Kernels whose warps work together trap on a launch of other blocks.
inline bool whole_warps(const HostLaunch& launch) {
  return launch.block[0] % 32 == 0 && launch.block[1] * launch.block[2] == 1;
}

cu::CUresult run_checksum(const HostLaunch& launch);

cu::CUresult run_fill_u8(const HostLaunch& launch);
cu::CUresult run_fill_u16(const HostLaunch& launch);
cu::CUresult run_fill_u32(const HostLaunch& launch);
cu::CUresult run_fill_u64(const HostLaunch& launch);

cu::CUresult run_atomic_add_u32(const HostLaunch& launch);
cu::CUresult run_atomic_add_u64(const HostLaunch& launch);
cu::CUresult run_atomic_add_f32(const HostLaunch& launch);

cu::CUresult run_linear_f32(const HostLaunch& launch);
cu::CUresult run_linear_f16(const HostLaunch& launch);
cu::CUresult run_linear_bf16(const HostLaunch& launch);

}  // namespace cuda_ipc::host
