// The seam: one table of CUDA driver functions, filled by one of two providers. Everything above
// native/driver/ goes through a Table and cannot tell which provider is behind it.
#pragma once

#include "driver/types.h"

namespace cuda_ipc::cu {

struct Table {
#define CU_FUNCTION(name, version, parameters) CUresult(*name) parameters = nullptr;
#include "driver/functions.def"
#undef CU_FUNCTION
};

}  // namespace cuda_ipc::cu
