// Events as JavaScript objects.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/resource_wrap.h"
#include "driver/driver.h"

namespace cuda_ipc {

// Its one undo call is cuEventDestroy, whether it was created here or opened from another process.
class OwnedEvent {
 public:
  OwnedEvent(int device, unsigned flags);
  OwnedEvent(int device, const cu::CUipcEventHandle& handle);
  ~OwnedEvent();
  OwnedEvent(const OwnedEvent&) = delete;
  OwnedEvent& operator=(const OwnedEvent&) = delete;

  cu::CUevent get() const { return event_; }
  int device() const { return device_; }
  void record(cu::CUstream stream) const;
  void synchronize() const;

 private:
  int device_;
  cu::CUevent event_ = nullptr;
};

class NativeEvent : public ResourceWrap<NativeEvent, OwnedEvent> {
 public:
  static constexpr napi_type_tag kTag = {0x2b94d7306ae14cf8, 0x8f1d5c63b0e97a02};
  static constexpr const char* kName = "NativeEvent";
  using ResourceWrap::ResourceWrap;
  static void define_class(Napi::Env env);

 private:
  Napi::Value handle(const Napi::CallbackInfo& info);
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value record(const Napi::CallbackInfo& info);
  Napi::Value query(const Napi::CallbackInfo& info);
  Napi::Value synchronize(const Napi::CallbackInfo& info);
  Napi::Value ipc_handle(const Napi::CallbackInfo& info);
};

}  // namespace cuda_ipc
