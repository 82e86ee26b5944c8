#include "transfer/pinned_memory.h"

#include "memory/undo.h"

namespace cuda_ipc {

PinnedMemory::PinnedMemory(int device, size_t bytes) : device_(device) {
  const ContextScope scope(device_);
  const cu::CUresult result = driver().cuMemHostAlloc(&data_, bytes, cu::CU_MEMHOSTALLOC_PORTABLE);
  if (result == cu::CUDA_SUCCESS) return;
  if (result != cu::CUDA_ERROR_OUT_OF_MEMORY) throw_cuda_error(result, "cuMemHostAlloc");
  Error error("ERR_CUDA_IPC_HOST_MEMORY",
              "The driver could not lock " + std::to_string(bytes) +
                  " bytes of host memory for staging. Free host memory, raise the limit of the container, or "
                  "load with fewer threads or smaller chunks.");
  error.cuda_result = result;
  error.call = "cuMemHostAlloc";
  error.details.emplace_back("neededBytes", bytes);
  throw error;
}

PinnedMemory::~PinnedMemory() {
  undo(device_, [this](const cu::Table& table) { table.cuMemFreeHost(data_); });
}

}  // namespace cuda_ipc
