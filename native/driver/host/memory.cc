// cuMemAlloc and what goes with it.
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "driver/host/allocation.h"
#include "driver/host/mapping.h"
#include "driver/host/state.h"
#include "driver/host/system.h"

namespace cuda_ipc::host {
namespace {

constexpr int kPoison = 0xDB;

// Fills memory that others still map, against every rule, so that their next checksum fails. Whoever opens a
// handle binds a token of its own before it opens the memory, which this process's descriptor leads to:
// so with that closed, a second token means another process and none means that nobody can come any more.
void poison_if_shared(const Region& region) {
  Allocation& allocation = *region.allocation;
  const std::lock_guard<std::mutex> lock(allocation.mutex);
  if (!allocation.exported) return;
  allocation.memory.close();
  unsigned tokens = 0;
  if (count_tokens(allocation.name, tokens) == CUDA_SUCCESS && tokens <= 1) return;
  std::memset(reinterpret_cast<void*>(region.base), kPoison, allocation.name.bytes);
}

bool free_device_memory(uintptr_t base) {
  const auto region = state().memory.retire(base, RegionKind::kDevice);
  if (!region) return false;
  poison_if_shared(*region);
  unmap(region->base, region->allocation->name.bytes);
  return true;
}

bool free_host_memory(uintptr_t base) {
  const auto region = state().memory.retire(base, RegionKind::kHost);
  if (!region) return false;
  unmap(region->base, round_up(region->bytes, page_size()));
  return true;
}

}  // namespace

void free_memory_of(Context& context) {
  for (const Region& region : state().memory.within(0, UINTPTR_MAX)) {
    if (region.device != context.device) continue;
    if (region.kind == RegionKind::kDevice) free_device_memory(region.base);
    if (region.kind == RegionKind::kHost) free_host_memory(region.base);
  }
}

namespace api {

CUresult cuMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  if (free_bytes == nullptr || total_bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const Device& device = state().config.devices[static_cast<size_t>(context->device)];
  uint64_t used = 0;
  if (const CUresult result = count_bytes(state().config.scope, device.index, used)) return result;
  *free_bytes = used < device.memory ? device.memory - used : 0;
  *total_bytes = device.memory;
  return CUDA_SUCCESS;
}

CUresult cuMemAlloc(CUdeviceptr* pointer, size_t bytes) {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  if (pointer == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  const size_t rounded = round_up(bytes, page_size());
  if (rounded < bytes) return CUDA_ERROR_OUT_OF_MEMORY;
  Region region;
  if (const CUresult result = allocate(context->device, rounded, region.allocation)) return result;
  region.base = map_shared(region.allocation->memory.get(), rounded);
  if (region.base == 0) return result_of_errno(errno);
  region.bytes = bytes;
  region.kind = RegionKind::kDevice;
  region.device = context->device;
  region.access.resize(state().contexts.size(), CU_MEM_ACCESS_FLAGS_PROT_NONE);
  region.access[static_cast<size_t>(context->device)] = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  *pointer = region.base;
  state().memory.add(std::move(region));
  return CUDA_SUCCESS;
}

CUresult cuMemFree(CUdeviceptr pointer) {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  if (pointer == 0) return CUDA_SUCCESS;
  const auto region = state().memory.find(pointer);
  if (!region || region->kind != RegionKind::kDevice || region->base != pointer)
    return CUDA_ERROR_INVALID_VALUE;
  Context& owner = *state().contexts[static_cast<size_t>(region->device)];
  owner.wait_for_all();
  if (owner.status() != CUDA_SUCCESS) return owner.status();
  return free_device_memory(pointer) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemHostAlloc(void** pointer, size_t bytes, unsigned flags) {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  constexpr unsigned kKnown = 0x7;  // portable, mapped, write-combined: all the same here
  if (pointer == nullptr || bytes == 0 || (flags & ~kKnown) != 0) return CUDA_ERROR_INVALID_VALUE;
  const size_t rounded = round_up(bytes, page_size());
  Region region;
  region.base = rounded < bytes ? 0 : map_private(rounded);
  if (region.base == 0) return CUDA_ERROR_OUT_OF_MEMORY;
  region.bytes = bytes;
  region.kind = RegionKind::kHost;
  region.device = context->device;
  region.access.resize(state().contexts.size(), CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  *pointer = reinterpret_cast<void*>(region.base);
  state().memory.add(std::move(region));
  return CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void* pointer) {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  if (pointer == nullptr) return CUDA_SUCCESS;
  return free_host_memory(reinterpret_cast<uintptr_t>(pointer)) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace api
}  // namespace cuda_ipc::host
