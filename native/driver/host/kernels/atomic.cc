// Real atomics on the shared memory, so that every process that maps it agrees.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "driver/host/kernels/entries.h"

namespace cuda_ipc::host {

namespace {

template <class T>
T fetch_add(T* target, T value) {
  return __atomic_fetch_add(target, value, __ATOMIC_SEQ_CST);
}

// A GPU's atomic addition in global memory takes and gives zeros of the same sign for subnormal numbers, and
// gives one NaN for all.
float flushed(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value) : value;
}

uint32_t added(uint32_t bits, float value) {
  float before;
  std::memcpy(&before, &bits, sizeof(before));
  const float after = flushed(flushed(before) + flushed(value));
  if (std::isnan(after)) return 0x7fffffff;
  uint32_t result;
  std::memcpy(&result, &after, sizeof(result));
  return result;
}

template <>
float fetch_add(float* target, float value) {
  auto* bits = reinterpret_cast<uint32_t*>(target);
  uint32_t before = __atomic_load_n(bits, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(bits, &before, added(before, value), /*weak=*/true, __ATOMIC_SEQ_CST,
                                      __ATOMIC_RELAXED)) {
  }
  float result;
  std::memcpy(&result, &before, sizeof(result));
  return result;
}

template <class T>
cu::CUresult run_atomic_add(const HostLaunch& launch) {
  const auto target_pointer = parameter<cu::CUdeviceptr>(launch, 0);
  const auto previous_pointer = parameter<cu::CUdeviceptr>(launch, 2);
  if (misaligned<T>(target_pointer) || misaligned<T>(previous_pointer))
    return cu::CUDA_ERROR_MISALIGNED_ADDRESS;
  T* target;
  T* previous;
  if (!range(launch, target_pointer, 1, true, target) ||
      !range(launch, previous_pointer, previous_pointer == 0 ? 0 : 1, true, previous))
    return cu::CUDA_ERROR_ILLEGAL_ADDRESS;
  const T before = fetch_add(target, parameter<T>(launch, 1));
  if (previous != nullptr) *previous = before;
  return cu::CUDA_SUCCESS;
}

}  // namespace

cu::CUresult run_atomic_add_u32(const HostLaunch& launch) {
  return run_atomic_add<uint32_t>(launch);
}
cu::CUresult run_atomic_add_u64(const HostLaunch& launch) {
  return run_atomic_add<uint64_t>(launch);
}
cu::CUresult run_atomic_add_f32(const HostLaunch& launch) {
  return run_atomic_add<float>(launch);
}

}  // namespace cuda_ipc::host
