#include "memory/ipc_memory.h"

namespace cuda_ipc {

IpcMemory::IpcMemory(int device, const cu::CUipcMemHandle& handle) : device_(device) {
  ContextScope scope(device);
  // The driver accepts no other flags than this one.
  CUDA_IPC_CHECK(cuIpcOpenMemHandle(&pointer_, handle, cu::CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
}

IpcMemory::~IpcMemory() {
  undo(device_, [this](const cu::Table& table) { table.cuIpcCloseMemHandle(pointer_); });
}

size_t IpcMemory::bytes() const {
  ContextScope scope(device_);
  cu::CUdeviceptr base = 0;
  size_t bytes = 0;
  CUDA_IPC_CHECK(cuMemGetAddressRange(&base, &bytes, pointer_));
  return bytes;
}

}  // namespace cuda_ipc
