// A pointer on its way to JavaScript, where nothing owns it any more.
#pragma once

#include <napi.h>

#include <utility>

#include "driver/error.h"
#include "driver/types.h"

namespace cuda_ipc {

// The result of pool work: undone when it never arrives, because the environment went down meanwhile.
template <class Undo>
class Undelivered {
 public:
  Undelivered(cu::CUdeviceptr pointer, Undo undo) : pointer_(pointer), undo_(std::move(undo)) {}
  Undelivered(Undelivered&& other) noexcept
      : pointer_(std::exchange(other.pointer_, 0)), undo_(std::move(other.undo_)) {}
  Undelivered& operator=(Undelivered&&) = delete;
  ~Undelivered() {
    if (pointer_ == 0) return;
    try {
      undo_(pointer_);
    } catch (const Error&) {
      // The application has undone it, one time too often: all opens of a handle have one pointer.
    }
  }

  Napi::Value deliver(Napi::Env env) {
    return Napi::BigInt::New(env, static_cast<uint64_t>(std::exchange(pointer_, 0)));
  }

 private:
  cu::CUdeviceptr pointer_;
  Undo undo_;
};

}  // namespace cuda_ipc
