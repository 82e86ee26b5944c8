// Host memory of the driver's own, which devices reach at the same address.
#pragma once

#include "memory/undo.h"

namespace cuda_ipc {

// Undone by cuMemFreeHost. Begins as zeros.
class HostMemory {
 public:
  HostMemory(int device, size_t bytes);
  ~HostMemory();
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  void* data() const { return data_; }
  // Unified addressing, which every device in support has: a device needs no mapping of its own.
  cu::CUdeviceptr pointer() const { return reinterpret_cast<cu::CUdeviceptr>(data_); }

 private:
  int device_;
  void* data_ = nullptr;
};

}  // namespace cuda_ipc
