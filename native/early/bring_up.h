// cuInit and a device's primary context, on a thread of its own.
#pragma once

#include "early/request.h"

namespace cuda_ipc::early {

/**
 * Begins; the context is retained until the process ends. Whatever fails is told to whoever uses CUDA next.
 * `request` must last.
 */
void bring_up_beside(const Request& request);

}  // namespace cuda_ipc::early
