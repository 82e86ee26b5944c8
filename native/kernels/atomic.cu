// cuda_ipc_atomic_add_u32, _u64, _f32: adds `value` to `*target` once, whatever the grid, atomically for
// every process and processor that sees the memory. `*previous`, when not null, gets the value from before.
#include "kernels/launch.h"

namespace cuda_ipc {

template <class T>
__device__ void atomic_add(T* target, T value, T* previous) {
  if (thread_number() != 0) return;
  const T before = atomicAdd_system(target, value);
  if (previous != nullptr) *previous = before;
}

}  // namespace cuda_ipc

extern "C" __global__ void cuda_ipc_atomic_add_u32(unsigned* target, unsigned value, unsigned* previous) {
  cuda_ipc::atomic_add(target, value, previous);
}

extern "C" __global__ void cuda_ipc_atomic_add_u64(unsigned long long* target, unsigned long long value,
                                                   unsigned long long* previous) {
  cuda_ipc::atomic_add(target, value, previous);
}

extern "C" __global__ void cuda_ipc_atomic_add_f32(float* target, float value, float* previous) {
  cuda_ipc::atomic_add(target, value, previous);
}
