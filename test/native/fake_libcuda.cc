// A driver library that answers as the environment tells it: FAKE_MISSING names a function that it does not
// have, FAKE_<function> the CUresult of one that it has, FAKE_COMPUTE_MODE the device's.
#include <cstdlib>
#include <cstring>
#include <string>

#include "driver/table.h"

namespace {

using namespace cuda_ipc::cu;

const char* setting(const std::string& name) {
  const char* value = std::getenv(("FAKE_" + name).c_str());
  return value != nullptr ? value : "";
}

CUresult result_of(const char* function) {
  return std::atoi(setting(function));
}

CUresult fake_init(unsigned) {
  return result_of("cuInit");
}
CUresult fake_count(int* count) {
  *count = 1;
  return CUDA_SUCCESS;
}
CUresult fake_device(CUdevice* device, int) {
  *device = 0;
  return CUDA_SUCCESS;
}
CUresult fake_uuid(CUuuid* uuid, CUdevice) {
  for (int i = 0; i < 16; ++i) uuid->bytes[i] = static_cast<char>(0xf0 + i);
  return CUDA_SUCCESS;
}
CUresult fake_attribute(int* value, CUdevice_attribute, CUdevice) {
  *value = std::atoi(setting("COMPUTE_MODE"));
  return CUDA_SUCCESS;
}
CUresult fake_version(int* version) {
  *version = 11080;
  return CUDA_SUCCESS;
}
CUresult fake_retain(CUcontext* context, CUdevice) {
  *context = reinterpret_cast<CUcontext>(8);
  return result_of("cuDevicePrimaryCtxRetain");
}
CUresult fake_error_name(CUresult, const char** name) {
  *name = "CUDA_ERROR_FAKE";
  return CUDA_SUCCESS;
}
CUresult fake_error_string(CUresult, const char** text) {
  *text = "text of the driver";
  return CUDA_SUCCESS;
}
CUresult fake_anything() {
  return CUDA_SUCCESS;
}

void* function(const std::string& name) {
  const auto address = [](auto* f) { return reinterpret_cast<void*>(f); };
  if (name == "cuInit") return address(fake_init);
  if (name == "cuDeviceGetCount") return address(fake_count);
  if (name == "cuDeviceGet") return address(fake_device);
  if (name == "cuDeviceGetUuid") return address(fake_uuid);
  if (name == "cuDeviceGetAttribute") return address(fake_attribute);
  if (name == "cuDriverGetVersion") return address(fake_version);
  if (name == "cuDevicePrimaryCtxRetain") return address(fake_retain);
  if (name == "cuGetErrorName") return address(fake_error_name);
  if (name == "cuGetErrorString") return address(fake_error_string);
  return address(fake_anything);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) CUresult cuGetProcAddress_v2(const char* symbol,
                                                                               void** address, int,
                                                                               unsigned long long flags,
                                                                               int* status) {
  const bool missing = std::strcmp(setting("MISSING"), symbol) == 0;
  *address = missing ? nullptr : function(symbol);
  *status = missing ? 1 : 0;
  if (flags != 1) return CUDA_ERROR_INVALID_VALUE;
  return missing ? CUDA_ERROR_NOT_FOUND : result_of("cuGetProcAddress");
}
