// Where VMM allocations are mapped: reservations, mappings in them, and their protection.
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <mutex>

#include "driver/host/mapping.h"
#include "driver/host/state.h"
#include "driver/host/system.h"
#include "driver/host/vmm.h"

namespace cuda_ipc::host {
namespace {

// Held through every change of the address space, so that they happen one after the other.
struct Reservations {
  std::mutex mutex;
  std::map<uintptr_t, size_t> bytes_by_base;

  bool contain(uintptr_t address, size_t bytes) const {
    auto next = bytes_by_base.upper_bound(address);
    if (next == bytes_by_base.begin()) return false;
    const auto& [base, size] = *std::prev(next);
    return address - base < size && bytes <= size - (address - base);
  }
};

Reservations& reservations() {
  static auto* table = new Reservations;
  return *table;
}

void* to_pointer(uintptr_t address) {
  return reinterpret_cast<void*>(address);
}

int protection(CUmemAccess_flags flags) {
  if (flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE) return PROT_READ | PROT_WRITE;
  return flags == CU_MEM_ACCESS_FLAGS_PROT_READ ? PROT_READ : PROT_NONE;
}

bool is_aligned(CUdeviceptr pointer, size_t bytes) {
  return bytes != 0 && pointer % kGranularity == 0 && bytes % kGranularity == 0;
}

// The mappings that make up the range: whole ones only. `complete`: they leave no gap.
bool mappings_in(uintptr_t address, size_t bytes, std::vector<Region>& found, bool& complete) {
  found = state().memory.within(address, bytes);
  size_t covered = 0;
  for (const Region& region : found) {
    if (region.base < address || region.end() > address + bytes) return false;
    covered += region.bytes;
  }
  complete = covered == bytes;
  return true;
}

CUresult check(const CUmemAccessDesc& access) {
  if (access.location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
  if (!state().has_device(access.location.id)) return CUDA_ERROR_INVALID_DEVICE;
  const bool known = access.flags == CU_MEM_ACCESS_FLAGS_PROT_NONE ||
                     access.flags == CU_MEM_ACCESS_FLAGS_PROT_READ ||
                     access.flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult set_access(const Region& region, const CUmemAccessDesc& access) {
  return state().memory.change_access(
      region.base, access.location.id, access.flags, [&](CUmemAccess_flags widest) {
        const int changed = mprotect(to_pointer(region.base), region.bytes, protection(widest));
        return changed == 0 ? CUDA_SUCCESS : result_of_errno(errno);
      });
}

}  // namespace

namespace api {

CUresult cuMemAddressReserve(CUdeviceptr* pointer, size_t bytes, size_t alignment, CUdeviceptr hint,
                             unsigned long long flags) {
  if (pointer == nullptr || flags != 0 || bytes == 0 || bytes % kGranularity != 0 ||
      (alignment & (alignment - 1)) != 0)
    return CUDA_ERROR_INVALID_VALUE;
  const std::lock_guard<std::mutex> lock(reservations().mutex);
  const uintptr_t base = reserve(bytes, std::max(alignment, kGranularity), hint);
  if (base == 0) return CUDA_ERROR_OUT_OF_MEMORY;
  reservations().bytes_by_base[base] = bytes;
  *pointer = base;
  return CUDA_SUCCESS;
}

CUresult cuMemAddressFree(CUdeviceptr pointer, size_t bytes) {
  const std::lock_guard<std::mutex> lock(reservations().mutex);
  const auto found = reservations().bytes_by_base.find(pointer);
  if (found == reservations().bytes_by_base.end() || found->second != bytes ||
      !state().memory.within(pointer, bytes).empty())
    return CUDA_ERROR_INVALID_VALUE;
  unmap(pointer, bytes);
  reservations().bytes_by_base.erase(found);
  return CUDA_SUCCESS;
}

CUresult cuMemMap(CUdeviceptr pointer, size_t bytes, size_t offset,
                  CUmemGenericAllocationHandle handle_number, unsigned long long flags) {
  const auto handle = find_vmm_handle(handle_number);
  if (handle == nullptr || flags != 0 || offset != 0 || !is_aligned(pointer, bytes))
    return CUDA_ERROR_INVALID_VALUE;
  const std::lock_guard<std::mutex> lock(reservations().mutex);
  if (!reservations().contain(pointer, bytes) || !state().memory.within(pointer, bytes).empty())
    return CUDA_ERROR_INVALID_VALUE;
  // As the real driver has it, although its documentation names no such result here.
  if (bytes > handle->allocation->name.bytes) return CUDA_ERROR_NOT_SUPPORTED;
  Region region;
  region.base = pointer;
  region.bytes = bytes;
  region.kind = RegionKind::kVmm;
  region.device = handle->allocation->device;
  region.exportable = handle->exportable();
  region.allocation = handle->allocation;
  region.access.resize(state().contexts.size(), CU_MEM_ACCESS_FLAGS_PROT_NONE);
  const int memory = handle->allocation->memory.get();
  if (mmap(to_pointer(pointer), bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, memory, 0) == MAP_FAILED)
    return result_of_errno(errno);
  state().memory.add(std::move(region));
  return CUDA_SUCCESS;
}

CUresult cuMemUnmap(CUdeviceptr pointer, size_t bytes) {
  const std::lock_guard<std::mutex> lock(reservations().mutex);
  std::vector<Region> mappings;
  bool complete = false;
  if (!is_aligned(pointer, bytes) || !reservations().contain(pointer, bytes) ||
      !mappings_in(pointer, bytes, mappings, complete))
    return CUDA_ERROR_INVALID_VALUE;
  for (const Region& region : mappings) {
    state().memory.retire(region.base, RegionKind::kVmm);
    // In one step back to a bare reservation, so that nothing else gets the addresses in between.
    if (mmap(to_pointer(region.base), region.bytes, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
      return result_of_errno(errno);
  }
  return CUDA_SUCCESS;
}

CUresult cuMemSetAccess(CUdeviceptr pointer, size_t bytes, const CUmemAccessDesc* access, size_t count) {
  const std::lock_guard<std::mutex> lock(reservations().mutex);
  std::vector<Region> mappings;
  bool complete = false;
  if (access == nullptr || count == 0 || !is_aligned(pointer, bytes) ||
      !reservations().contain(pointer, bytes) || !mappings_in(pointer, bytes, mappings, complete) ||
      !complete)
    return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < count; i++)
    if (const CUresult result = check(access[i])) return result;
  for (const Region& region : mappings)
    for (size_t i = 0; i < count; i++)
      if (const CUresult result = set_access(region, access[i])) return result;
  return CUDA_SUCCESS;
}

}  // namespace api
}  // namespace cuda_ipc::host
