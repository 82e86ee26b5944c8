// Streams and events of JavaScript, for bindings that take them as arguments.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <optional>

#include "driver/types.h"

namespace cuda_ipc {

// A stream that stays alive while this is held.
struct StreamRef {
  std::shared_ptr<void> owner;
  cu::CUstream handle;
  int device;
};

// Nothing when `value` is not a NativeStream. Throws Error (ERR_CUDA_IPC_CLOSED) for a destroyed one.
std::optional<StreamRef> unwrap_stream(Napi::Value value);

// An optional argument: nothing for undefined and null. Throws Error (ERR_CUDA_IPC_INVALID_ARGUMENT) for
// anything else that is not a stream of that device.
std::optional<StreamRef> stream_argument(Napi::Value value, const char* name, int device);

// The work that a stream or an event stands for.
struct AfterWork {
  // Blocks until that work is done, so only on the pool; throws Error when the work has failed. Holds the
  // stream or event until it is destroyed itself.
  std::function<void()> wait;
};

// Nothing when `value` is neither a NativeStream nor a NativeEvent. For an event, the work it was last
// recorded after. Throws Error (ERR_CUDA_IPC_CLOSED) for a destroyed one.
std::optional<AfterWork> unwrap_after(Napi::Value value);

}  // namespace cuda_ipc
