#include "memory/device_memory.h"

namespace cuda_ipc {

DeviceMemory::DeviceMemory(int device, size_t bytes) : device_(device), bytes_(bytes) {
  ContextScope scope(device);
  const cu::CUresult result = driver().cuMemAlloc(&pointer_, bytes);
  if (result == cu::CUDA_ERROR_OUT_OF_MEMORY) throw_out_of_memory("cuMemAlloc", bytes);
  if (result != cu::CUDA_SUCCESS) throw_cuda_error(result, "cuMemAlloc");
}

DeviceMemory::~DeviceMemory() {
  undo(device_, [this](const cu::Table& table) { table.cuMemFree(pointer_); });
}

cu::CUipcMemHandle DeviceMemory::ipc_handle() const {
  ContextScope scope(device_);
  cu::CUipcMemHandle handle;
  CUDA_IPC_CHECK(cuIpcGetMemHandle(&handle, pointer_));
  return handle;
}

}  // namespace cuda_ipc
