// The checksum of device memory, computed where it lies.
#pragma once

#include <array>
#include <cstddef>

#include "driver/types.h"

namespace cuda_ipc {

using Checksum = std::array<unsigned char, 16>;  // as checksum.h defines it

// Blocks for as long as reading the memory takes; sees what was written in the legacy default stream before.
Checksum device_checksum(int device, cu::CUdeviceptr pointer, size_t bytes);

}  // namespace cuda_ipc
