// The provider that talks to NVIDIA's driver.
#pragma once

#include "driver/table.h"

namespace cuda_ipc::libcuda {

// Loads libcuda.so.1 on first use and resolves every function; cuInit is the caller's. Throws Error
// (ERR_CUDA_IPC_NO_DRIVER, ERR_CUDA_IPC_DRIVER_TOO_OLD); a failure leaves nothing loaded and may be tried
// again. The environment variable CUDA_IPC_LIBCUDA names another file to load.
// Not to be called from two threads at once: driver() holds the lock.
const cu::Table& table();

}  // namespace cuda_ipc::libcuda
