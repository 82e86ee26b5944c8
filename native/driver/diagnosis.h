// From a failed CUDA call to the Error that says what to do about it.
#pragma once

#include <string>

#include "driver/error.h"
#include "driver/table.h"

namespace cuda_ipc {

// `call` may be a whole call expression; its function's name is kept. `table` gives the driver's own words;
// it may be null.
Error diagnose(const cu::Table* table, cu::CUresult result, const char* call);

// The same with a code and advice that the caller knows better.
Error diagnose(const cu::Table* table, cu::CUresult result, const char* call, const char* code,
               const std::string& advice);

}  // namespace cuda_ipc
