// Injected faults: what is to happen at which call of which function.
#pragma once

#include <cstddef>

#include "driver/types.h"

namespace cuda_ipc::host {

// Counts a call of functions.def's entry number `function` and carries out its fault, if it has one. Returns
// the result to give instead of making the call; CUDA_SUCCESS: make the call.
cu::CUresult meet_fault(size_t function);

// Reads CUDA_IPC_HOST_FAULTS. False, with the reason on standard error, when it cannot be read.
bool read_faults_from_environment();

}  // namespace cuda_ipc::host
