// Declares the host driver's implementation of every function of the table, by CUDA's own name.
#pragma once

#include "driver/types.h"

namespace cuda_ipc::host {

using namespace cu;

namespace api {

#define CU_FUNCTION(name, version, parameters) CUresult name parameters;
#include "driver/functions.def"
#undef CU_FUNCTION

}  // namespace api
}  // namespace cuda_ipc::host
