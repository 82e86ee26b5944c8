// cuMemset: queued when asked for, done on return otherwise.
#include <algorithm>

#include "driver/host/event.h"
#include "driver/host/state.h"

namespace cuda_ipc::host {
namespace {

template <typename Value>
bool fill(uintptr_t to, Value value, size_t count) {
  Pins pins;
  if (!state().memory.pin(to, count * sizeof(Value), true, MemoryTable::kAnyDevice, pins)) return false;
  std::fill_n(reinterpret_cast<Value*>(to), count, value);
  return true;
}

template <typename Value>
bool is_allowed(uintptr_t to, size_t count) {
  Pins pins;
  return state().memory.pin(to, count * sizeof(Value), true, MemoryTable::kAnyDevice, pins);
}

template <typename Value>
CUresult set(CUdeviceptr to, Value value, size_t count, CUstream handle, bool asynchronous) {
  Context* context = nullptr;
  CUresult result = current_context(context);
  if (result != CUDA_SUCCESS) return result;
  const auto stream = find_stream(*context, handle, result);
  if (stream == nullptr) return result;
  if (count == 0) return CUDA_SUCCESS;
  if (to % sizeof(Value) != 0 || count > SIZE_MAX / sizeof(Value) || !is_allowed<Value>(to, count))
    return CUDA_ERROR_INVALID_VALUE;
  if (asynchronous) {
    Work work;
    work.run = [=] { return fill(to, value, count) ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_ADDRESS; };
    stream->context.submit(stream, std::move(work));
    return CUDA_SUCCESS;
  }
  stream->context.wait_for(*stream);
  if (stream->context.status() != CUDA_SUCCESS) return stream->context.status();
  return fill(to, value, count) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

namespace api {

CUresult cuMemsetD8(CUdeviceptr to, unsigned char value, size_t count) {
  return set(to, value, count, nullptr, false);
}
CUresult cuMemsetD16(CUdeviceptr to, unsigned short value, size_t count) {
  return set(to, value, count, nullptr, false);
}
CUresult cuMemsetD32(CUdeviceptr to, unsigned value, size_t count) {
  return set(to, value, count, nullptr, false);
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
  return set(to, value, count, stream, true);
}
CUresult cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t count, CUstream stream) {
  return set(to, value, count, stream, true);
}
CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count, CUstream stream) {
  return set(to, value, count, stream, true);
}

}  // namespace api
}  // namespace cuda_ipc::host
