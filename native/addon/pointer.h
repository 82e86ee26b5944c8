// What the driver knows about a pointer.
#pragma once

#include <napi.h>

#include "driver/driver.h"

namespace cuda_ipc {

// The allocation that a pointer lies in.
struct AddressRange {
  cu::CUdeviceptr base;
  size_t bytes;
};

// With the context of the pointer's device current. Throws Error (ERR_CUDA_IPC_INVALID_POINTER) for a pointer
// into nothing.
AddressRange address_range(cu::CUdeviceptr pointer);

// pointerAttributes(); called by export_memory().
void export_pointer_attributes(Napi::Env env, Napi::Object exports);

}  // namespace cuda_ipc
