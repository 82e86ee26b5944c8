// An allocation of another process, opened by its 64-byte CUDA IPC handle.
#pragma once

#include "memory/shared_memory.h"
#include "memory/undo.h"

namespace cuda_ipc {

// Undone by cuIpcCloseMemHandle. To be opened through IpcTable only: the driver gives every open of one
// handle the same pointer, so that a close too many takes it away from all of them.
class IpcMemory final : public SharedMemory {
 public:
  IpcMemory(int device, const cu::CUipcMemHandle& handle);
  ~IpcMemory() override;

  // The base of the allocation, whichever pointer within it was exported.
  cu::CUdeviceptr pointer() const override { return pointer_; }
  // Of the whole allocation. Asks the driver each time.
  size_t bytes() const override;

 private:
  int device_;
  cu::CUdeviceptr pointer_ = 0;
};

}  // namespace cuda_ipc
