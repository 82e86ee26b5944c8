#include "driver/host/host_register.h"

#include "driver/host/state.h"

namespace cuda_ipc::host {

bool RegisteredRanges::add(uintptr_t base, size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto above = ranges_.lower_bound(base);
  if (above != ranges_.end() && above->first < base + bytes) return false;
  if (above != ranges_.begin()) {
    const auto below = std::prev(above);
    if (below->first + below->second > base) return false;
  }
  ranges_.emplace(base, bytes);
  return true;
}

bool RegisteredRanges::remove(uintptr_t base) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ranges_.erase(base) == 1;
}

namespace api {

CUresult cuMemHostRegister(void* pointer, size_t bytes, unsigned flags) {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  constexpr unsigned kKnown = 0xf;  // portable, mapped, I/O, read-only: all the same here
  const auto base = reinterpret_cast<uintptr_t>(pointer);
  if (pointer == nullptr || bytes == 0 || base + bytes < base || (flags & ~kKnown) != 0)
    return CUDA_ERROR_INVALID_VALUE;
  return state().registered.add(base, bytes) ? CUDA_SUCCESS : CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
}

CUresult cuMemHostUnregister(void* pointer) {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  if (pointer == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return state().registered.remove(reinterpret_cast<uintptr_t>(pointer))
             ? CUDA_SUCCESS
             : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
}

}  // namespace api
}  // namespace cuda_ipc::host
