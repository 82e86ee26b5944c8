// The checksum of device memory, computed where it lies.
#pragma once

#include <array>
#include <cstddef>

#include "driver/types.h"
#include "kernels/checksum.h"

namespace cuda_ipc {

using Checksum = std::array<unsigned char, 16>;  // as checksum.h defines it

// Throws Error (ERR_CUDA_IPC_INVALID_ARGUMENT) where a range is not device memory of this process: a kernel
// that reads memory that is not there costs the process its context. With the device's context current.
void require_device_memory(cu::CUdeviceptr pointer, size_t bytes);

// Enqueues the kernel `cuda_ipc_checksum` over a piece that begins with word number `first_word`, on a grid
// that suits its size. `sums` on the device is added to. With the device's context current.
void launch_checksum(cu::CUfunction kernel, int device, cu::CUstream stream, cu::CUdeviceptr pointer,
                     size_t bytes, size_t first_word, cu::CUdeviceptr sums);

// The checksum of `bytes` bytes whose words have these sums.
Checksum finished(const ChecksumSums& sums, size_t bytes);

// Blocks for as long as reading the memory takes; sees what was written in the legacy default stream before.
Checksum device_checksum(int device, cu::CUdeviceptr pointer, size_t bytes);

}  // namespace cuda_ipc
