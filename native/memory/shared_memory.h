// What the process-wide tables hold: device memory at an address, whatever kind of sharing is behind it.
#pragma once

#include <cstddef>

#include "driver/types.h"

namespace cuda_ipc {

class SharedMemory {
 public:
  SharedMemory() = default;
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  virtual ~SharedMemory() = default;

  virtual cu::CUdeviceptr pointer() const = 0;
  virtual size_t bytes() const = 0;
};

}  // namespace cuda_ipc
