// Streams as JavaScript objects.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/resource_wrap.h"
#include "driver/driver.h"

namespace cuda_ipc {

// Its one undo call is cuStreamDestroy; what is in the stream still runs to its end.
class OwnedStream {
 public:
  OwnedStream(int device, unsigned flags);
  ~OwnedStream();
  OwnedStream(const OwnedStream&) = delete;
  OwnedStream& operator=(const OwnedStream&) = delete;

  cu::CUstream get() const { return stream_; }
  int device() const { return device_; }
  void synchronize() const;

 private:
  int device_;
  cu::CUstream stream_ = nullptr;
};

class NativeStream : public ResourceWrap<NativeStream, OwnedStream> {
 public:
  static constexpr napi_type_tag kTag = {0x6d3a1f0c5b7e4d21, 0x9c40a8e2f3b15d01};
  static constexpr const char* kName = "NativeStream";
  using ResourceWrap::ResourceWrap;
  static void define_class(Napi::Env env);

 private:
  Napi::Value handle(const Napi::CallbackInfo& info);
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value synchronize(const Napi::CallbackInfo& info);
  Napi::Value query(const Napi::CallbackInfo& info);
  Napi::Value wait_event(const Napi::CallbackInfo& info);
};

}  // namespace cuda_ipc
