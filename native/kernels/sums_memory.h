// Where kernels add a checksum's sums up.
#pragma once

#include <optional>

#include "kernels/checksum.h"
#include "memory/device_memory.h"
#include "memory/host_memory.h"

namespace cuda_ipc {

// A few bytes of the device, or, where its last byte is taken, of the host: atomic additions across the bus
// give the same sums, one at a time. So those who add often should ask on_device() first.
class SumsMemory {
 public:
  // Zeros, for what comes behind it in the stream. With the device's context current.
  SumsMemory(int device, cu::CUstream stream);

  bool on_device() const { return device_.has_value(); }
  cu::CUdeviceptr pointer() const;
  // Waits for what is in the stream.
  ChecksumSums read(cu::CUstream stream) const;

 private:
  std::optional<DeviceMemory> device_;
  std::optional<HostMemory> host_;
};

}  // namespace cuda_ipc
