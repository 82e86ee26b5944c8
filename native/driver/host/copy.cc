// Copies. A copy to or from pageable memory is done when the call returns, as the real driver does it; others
// are queued.
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>

#include "driver/host/event.h"
#include "driver/host/state.h"

namespace cuda_ipc::host {
namespace {

enum class Place {
  kTable,     // must be memory the driver gave out
  kPageable,  // the caller vouches for it
  kAny,       // unified addressing: found out by the address
};

struct Side {
  uintptr_t address;
  Place place;
  bool known() const { return place == Place::kTable; }
};

Side resolve(Side side) {
  if (side.place == Place::kTable) return side;
  const auto region = state().memory.find(side.address);
  // An address that only looks pageable stays kAny: it is read with care.
  if (!region || (side.place == Place::kPageable && region->kind != RegionKind::kHost)) return side;
  return {side.address, Place::kTable};
}

bool pin_side(const Side& side, size_t bytes, bool write, Pins& pins) {
  return !side.known() || state().memory.pin(side.address, bytes, write, MemoryTable::kAnyDevice, pins);
}

// Copies through the kernel, which returns an error where memmove would crash.
bool copy_carefully(uintptr_t to, uintptr_t from, size_t bytes) {
  while (bytes > 0) {
    const iovec local{reinterpret_cast<void*>(to), bytes}, remote{reinterpret_cast<void*>(from), bytes};
    const ssize_t copied = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    if (copied <= 0) return false;
    to += static_cast<size_t>(copied);
    from += static_cast<size_t>(copied);
    bytes -= static_cast<size_t>(copied);
  }
  return true;
}

bool perform(const Side& to, const Side& from, size_t bytes) {
  Pins pins;
  if (!pin_side(to, bytes, true, pins) || !pin_side(from, bytes, false, pins)) return false;
  if (to.place == Place::kAny || from.place == Place::kAny)
    return copy_carefully(to.address, from.address, bytes);
  std::memmove(reinterpret_cast<void*>(to.address), reinterpret_cast<const void*>(from.address), bytes);
  return true;
}

bool is_allowed(const Side& to, const Side& from, size_t bytes) {
  Pins pins;
  return pin_side(to, bytes, true, pins) && pin_side(from, bytes, false, pins);
}

CUresult copy(Side to, Side from, size_t bytes, CUstream handle, bool asynchronous) {
  Context* context = nullptr;
  CUresult result = current_context(context);
  if (result != CUDA_SUCCESS) return result;
  const auto stream = find_stream(*context, handle, result);
  if (stream == nullptr) return result;
  if (bytes == 0) return CUDA_SUCCESS;
  if (to.address == 0 || from.address == 0) return CUDA_ERROR_INVALID_VALUE;
  to = resolve(to);
  from = resolve(from);
  if (!is_allowed(to, from, bytes)) return CUDA_ERROR_INVALID_VALUE;
  if (asynchronous && to.known() && from.known()) {
    Work work;
    work.run = [=] { return perform(to, from, bytes) ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_ADDRESS; };
    stream->context.submit(stream, std::move(work));
    return CUDA_SUCCESS;
  }
  stream->context.wait_for(*stream);
  if (stream->context.status() != CUDA_SUCCESS) return stream->context.status();
  return perform(to, from, bytes) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

Side device(CUdeviceptr pointer) {
  return {static_cast<uintptr_t>(pointer), Place::kTable};
}
Side pageable(const void* pointer) {
  return {reinterpret_cast<uintptr_t>(pointer), Place::kPageable};
}
Side any(CUdeviceptr pointer) {
  return {static_cast<uintptr_t>(pointer), Place::kAny};
}

}  // namespace

namespace api {

CUresult cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return copy(any(to), any(from), bytes, nullptr, false);
}
CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return copy(any(to), any(from), bytes, stream, true);
}
CUresult cuMemcpyHtoD(CUdeviceptr to, const void* from, size_t bytes) {
  return copy(device(to), pageable(from), bytes, nullptr, false);
}
CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
  return copy(device(to), pageable(from), bytes, stream, true);
}
CUresult cuMemcpyDtoH(void* to, CUdeviceptr from, size_t bytes) {
  return copy(pageable(to), device(from), bytes, nullptr, false);
}
CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return copy(pageable(to), device(from), bytes, stream, true);
}
CUresult cuMemcpyDtoD(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return copy(device(to), device(from), bytes, nullptr, false);
}
CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return copy(device(to), device(from), bytes, stream, true);
}

}  // namespace api
}  // namespace cuda_ipc::host
