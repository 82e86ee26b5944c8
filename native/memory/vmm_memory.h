// A whole virtual-memory-management allocation mapped at an address of its own.
#pragma once

#include "memory/mapping.h"
#include "memory/shared_memory.h"

namespace cuda_ipc {

class VmmMemory final : public SharedMemory {
 public:
  // `bytes`: all of the allocation.
  VmmMemory(AllocationHandle allocation, size_t bytes, Access access);

  cu::CUdeviceptr pointer() const override { return mapping_.pointer(); }
  size_t bytes() const override { return mapping_.bytes(); }
  const AllocationHandle& allocation() const { return allocation_; }

 private:
  // Destroyed in reverse order: mapping, reservation, allocation. Rollback of a failed construction is the
  // same.
  AllocationHandle allocation_;
  AddressReservation reservation_;
  Mapping mapping_;
};

}  // namespace cuda_ipc
