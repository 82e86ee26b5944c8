#include "memory/vmm_memory.h"

namespace cuda_ipc {

VmmMemory::VmmMemory(AllocationHandle allocation, size_t bytes, Access access)
    : allocation_(std::move(allocation)),
      reservation_(allocation_.device(), bytes),
      mapping_(reservation_, allocation_) {
  mapping_.set_access(access);
}

}  // namespace cuda_ipc
