// The driver's functions, called raw: no layer of the library is in the measured path.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include "driver/error.h"
#include "driver/host/host.h"
#include "driver/libcuda/libcuda.h"
#include "driver/types.h"

namespace floor_program {

namespace cu = cuda_ipc::cu;

// Which table, without cuInit.
inline const cu::Table& choose(const std::string& driver) try {
  if (driver == "host") return cuda_ipc::host::table();
  if (driver == "libcuda") return cuda_ipc::libcuda::table();
  std::fprintf(stderr, "floor: expected libcuda or host for the driver, but received %s\n", driver.c_str());
  std::exit(2);
} catch (const cuda_ipc::Error& error) {
  std::fprintf(stderr, "floor: %s\n", error.what());
  std::exit(1);
}

inline void check(const cu::Table& cuda, cu::CUresult result, const char* call) {
  if (result == cu::CUDA_SUCCESS) return;
  const char* name = nullptr;
  cuda.cuGetErrorName(result, &name);
  std::fprintf(stderr, "floor: %s: %s (%d)\n", call, name != nullptr ? name : "unknown error", result);
  std::exit(1);
}

#define FLOOR_CHECK(cuda, call) ::floor_program::check(cuda, (cuda).call, #call)

// The device's primary context, made current to this thread for the life of the process.
inline cu::CUdevice bring_up_context(const cu::Table& cuda, int ordinal) {
  cu::CUdevice device;
  cu::CUcontext context;
  FLOOR_CHECK(cuda, cuDeviceGet(&device, ordinal));
  FLOOR_CHECK(cuda, cuDevicePrimaryCtxRetain(&context, device));
  FLOOR_CHECK(cuda, cuCtxPushCurrent(context));
  return device;
}

}  // namespace floor_program
