// IPC memory handles. A process opens each piece of memory once and counts.
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "driver/host/allocation.h"
#include "driver/host/ipc_handle.h"
#include "driver/host/mapping.h"
#include "driver/host/state.h"

namespace cuda_ipc::host {
namespace {

struct Opened {
  uintptr_t base;
  unsigned count;
};

struct OpenedTable {
  std::mutex mutex;
  std::unordered_map<uint64_t, Opened> by_id;
};

OpenedTable& opened() {
  static auto* table = new OpenedTable;
  return *table;
}

CUresult result_of(ExporterState found) {
  return found == ExporterState::kDead ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_INVALID_VALUE;
}

// The token comes before the memory: an exporter that frees counts tokens to see whether others have it. The
// look at the exporter comes before the token, so that a stale handle does not count as memory in use.
CUresult open_memory(const IpcHandle& handle, Allocation& allocation, Fd& memory) {
  const ExporterState before = find_exported(handle);
  if (before != ExporterState::kThere) return result_of(before);
  if (const CUresult result = create_token(allocation.name, allocation.token)) return result;
  const ExporterState found = open_exported(handle, memory);
  if (found != ExporterState::kThere) return result_of(found);
  if (!memory) return errno == EACCES ? CUDA_ERROR_NOT_PERMITTED : result_of_errno(errno);
  struct stat facts {};
  const int seals = fcntl(memory.get(), F_GET_SEALS);
  const bool whole = fstat(memory.get(), &facts) == 0 && seals >= 0 && (seals & F_SEAL_SHRINK) != 0 &&
                     static_cast<uint64_t>(facts.st_size) == allocation.name.bytes;
  return whole ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult map_memory(const IpcHandle& handle, const Context& context, uintptr_t& base) {
  Region region;
  region.device = state().ordinal_of(handle.device);
  if (region.device < 0) return CUDA_ERROR_INVALID_DEVICE;
  region.allocation = std::make_shared<Allocation>();
  region.allocation->device = region.device;
  region.allocation->name = {handle.scope, handle.device, round_up(handle.bytes, page_size()), handle.id};
  Fd memory;
  if (const CUresult result = open_memory(handle, *region.allocation, memory)) return result;
  base = map_shared(memory.get(), region.allocation->name.bytes);
  if (base == 0) return result_of_errno(errno);
  region.base = base;
  region.bytes = handle.bytes;
  region.kind = RegionKind::kIpc;
  region.access.resize(state().contexts.size(), CU_MEM_ACCESS_FLAGS_PROT_NONE);
  region.access[static_cast<size_t>(region.device)] = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  region.access[static_cast<size_t>(context.device)] = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  state().memory.add(std::move(region));
  return CUDA_SUCCESS;
}

}  // namespace

namespace api {

CUresult cuIpcGetMemHandle(CUipcMemHandle* handle, CUdeviceptr pointer) {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  const auto region = state().memory.find(pointer);
  if (handle == nullptr || !region || region->kind != RegionKind::kDevice) return CUDA_ERROR_INVALID_VALUE;
  Allocation& allocation = *region->allocation;
  const std::lock_guard<std::mutex> lock(allocation.mutex);
  allocation.exported = true;
  IpcHandle made{};
  made.kind = IpcKind::kMemory;
  made.descriptor = allocation.memory.get();
  made.device = allocation.name.device;
  made.inode = allocation.inode;
  made.id = allocation.name.id;
  made.bytes = region->bytes;
  write_ipc_handle(made, handle->reserved);
  return CUDA_SUCCESS;
}

CUresult cuIpcOpenMemHandle(CUdeviceptr* pointer, CUipcMemHandle bytes, unsigned flags) {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  if (pointer == nullptr || (flags & CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS) == 0)
    return CUDA_ERROR_INVALID_VALUE;
  IpcHandle handle;
  if (!read_ipc_handle(bytes.reserved, IpcKind::kMemory, handle)) return CUDA_ERROR_INVALID_VALUE;
  if (is_own(handle)) return CUDA_ERROR_INVALID_CONTEXT;
  const std::lock_guard<std::mutex> lock(opened().mutex);
  const auto found = opened().by_id.find(handle.id);
  if (found != opened().by_id.end()) {
    found->second.count++;
    *pointer = found->second.base;
    return CUDA_SUCCESS;
  }
  uintptr_t base = 0;
  if (const CUresult result = map_memory(handle, *context, base)) return result;
  opened().by_id[handle.id] = {base, 1};
  *pointer = base;
  return CUDA_SUCCESS;
}

CUresult cuIpcCloseMemHandle(CUdeviceptr pointer) {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  const auto region = state().memory.find(pointer);
  if (!region || region->kind != RegionKind::kIpc || region->base != pointer) return CUDA_ERROR_INVALID_VALUE;
  {
    const std::lock_guard<std::mutex> lock(opened().mutex);
    const auto found = opened().by_id.find(region->allocation->name.id);
    if (found == opened().by_id.end() || found->second.base != pointer) return CUDA_ERROR_INVALID_VALUE;
    if (--found->second.count > 0) return CUDA_SUCCESS;
    opened().by_id.erase(found);
  }
  // From here on this thread alone knows the pointer; who opens the handle now gets another one.
  context->wait_for_all();
  state().memory.retire(pointer, RegionKind::kIpc);
  unmap(pointer, region->allocation->name.bytes);
  return CUDA_SUCCESS;
}

}  // namespace api
}  // namespace cuda_ipc::host
