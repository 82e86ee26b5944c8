// Physical device memory that has no address yet.
#pragma once

#include "memory/fd.h"
#include "memory/undo.h"

namespace cuda_ipc {

// The properties of memory on `device` that can be shared as a file descriptor.
cu::CUmemAllocationProp shareable_properties(int device);

// Undone by cuMemRelease. The memory itself lives until the last handle, mapping and file descriptor is gone.
class AllocationHandle {
 public:
  // `bytes`: a multiple of the granularity.
  static AllocationHandle create(int device, size_t bytes);
  // Imports what another process, or this one, has exported. The descriptor stays the caller's.
  static AllocationHandle import(int device, const Fd& fd);

  AllocationHandle(AllocationHandle&&) noexcept = default;
  ~AllocationHandle();

  int device() const { return device_; }
  cu::CUmemGenericAllocationHandle get() const { return handle_; }

  // A descriptor that keeps the memory alive by itself. Only of a created handle: the driver refuses to
  // export what was imported.
  Fd export_fd() const;

 private:
  AllocationHandle(int device, cu::CUmemGenericAllocationHandle handle) : device_(device), handle_(handle) {}

  Armed armed_;
  int device_;
  cu::CUmemGenericAllocationHandle handle_;
};

}  // namespace cuda_ipc
