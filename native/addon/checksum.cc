// checksum()
#include "addon/arguments.h"
#include "addon/async.h"
#include "addon/exports.h"
#include "kernels/device_checksum.h"

namespace cuda_ipc {

namespace {

Napi::Value checksum(const Napi::CallbackInfo& info) {
  const int device = device_argument(info[0]);
  const cu::CUdeviceptr pointer = pointer_argument(info[1], "pointer");
  const size_t bytes = bytes_argument(info[2], "bytes");
  return run_async(
      info.Env(), [=] { return device_checksum(device, pointer, bytes); },
      [](Napi::Env env, Checksum& checksum) -> Napi::Value {
        return Napi::Buffer<unsigned char>::Copy(env, checksum.data(), checksum.size());
      });
}

}  // namespace

void export_checksum(Napi::Env env, Napi::Object exports) {
  exports["checksum"] = Napi::Function::New<checked<checksum>>(env, "checksum");
}

}  // namespace cuda_ipc
