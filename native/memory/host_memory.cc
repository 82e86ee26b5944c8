#include "memory/host_memory.h"

#include <cstring>

namespace cuda_ipc {

HostMemory::HostMemory(int device, size_t bytes) : device_(device) {
  const ContextScope scope(device);
  CUDA_IPC_CHECK(cuMemHostAlloc(&data_, bytes, cu::CU_MEMHOSTALLOC_PORTABLE));
  std::memset(data_, 0, bytes);
}

HostMemory::~HostMemory() {
  undo(device_, [this](const cu::Table& table) { table.cuMemFreeHost(data_); });
}

}  // namespace cuda_ipc
