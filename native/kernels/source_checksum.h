// The checksum that a device should find after a load, computed from the sources alone.
#pragma once

#include "kernels/device_checksum.h"
#include "transfer/load.h"

namespace cuda_ipc {

// Reads everything that load() would, on as many threads, and sums it on the processor: no device is asked.
// Equal to device_checksum() of the first `bytes` of the target after the load, if what no run covers is
// zero. Throws Error: as load() does, and ERR_CUDA_IPC_INVALID_ARGUMENT for runs out of order or not at
// words.
Checksum source_checksum(const LoadPlan& plan, size_t bytes, LoadObserver& observer);

}  // namespace cuda_ipc
