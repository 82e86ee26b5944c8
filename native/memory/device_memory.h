// Memory from cuMemAlloc, the only kind that CUDA IPC handles name.
#pragma once

#include "memory/shared_memory.h"
#include "memory/undo.h"

namespace cuda_ipc {

// Undone by cuMemFree.
class DeviceMemory final : public SharedMemory {
 public:
  DeviceMemory(int device, size_t bytes);
  ~DeviceMemory() override;

  cu::CUdeviceptr pointer() const override { return pointer_; }
  size_t bytes() const override { return bytes_; }

  cu::CUipcMemHandle ipc_handle() const;

 private:
  int device_;
  size_t bytes_;
  cu::CUdeviceptr pointer_ = 0;
};

}  // namespace cuda_ipc
