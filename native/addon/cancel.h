// The flag by which JavaScript cancels a load.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>

namespace cuda_ipc {

using CancelFlag = std::shared_ptr<std::atomic<bool>>;

class NativeCancel : public Napi::ObjectWrap<NativeCancel> {
 public:
  static constexpr napi_type_tag kTag = {0x51d0c7a94be24f6e, 0xa3b8e6120f9d7c54};
  explicit NativeCancel(const Napi::CallbackInfo& info);
  static void define_class(Napi::Env env);

  const CancelFlag& flag() const { return flag_; }

 private:
  void cancel(const Napi::CallbackInfo& info) { *flag_ = true; }

  CancelFlag flag_ = std::make_shared<std::atomic<bool>>(false);
};

// A new one: createCancel().
Napi::Value create_cancel(const Napi::CallbackInfo& info);
// An optional argument: null for undefined and null. Throws Error (ERR_CUDA_IPC_INVALID_ARGUMENT) for the
// rest.
CancelFlag cancel_argument(Napi::Value value, const char* name);

}  // namespace cuda_ipc
