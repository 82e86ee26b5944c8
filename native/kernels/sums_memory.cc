#include "kernels/sums_memory.h"

#include <cstring>

#include "driver/driver.h"

namespace cuda_ipc {

SumsMemory::SumsMemory(int device, cu::CUstream stream) {
  try {
    device_.emplace(device, sizeof(ChecksumSums));
  } catch (const Error& error) {
    if (error.cuda_result != cu::CUDA_ERROR_OUT_OF_MEMORY) throw;
    host_.emplace(device, sizeof(ChecksumSums));
    return;
  }
  CUDA_IPC_CHECK(cuMemsetD8Async(device_->pointer(), 0, device_->bytes(), stream));
}

cu::CUdeviceptr SumsMemory::pointer() const {
  return device_ ? device_->pointer() : host_->pointer();
}

ChecksumSums SumsMemory::read(cu::CUstream stream) const {
  ChecksumSums sums;
  // The copy to plain memory waits for what is in front of it; the stream is empty when this returns.
  if (device_) CUDA_IPC_CHECK(cuMemcpyDtoHAsync(&sums, device_->pointer(), sizeof(sums), stream));
  CUDA_IPC_CHECK(cuStreamSynchronize(stream));
  if (host_) std::memcpy(&sums, host_->data(), sizeof(sums));
  return sums;
}

}  // namespace cuda_ipc
