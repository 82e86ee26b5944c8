// Channels of JavaScript, for bindings that return them.
#pragma once

#include <napi.h>

#include <memory>

#include "channel/channel.h"

namespace cuda_ipc {

// A new NativeChannel, which abandons `channel` when it is collected before it was started.
Napi::Value wrap_channel(Napi::Env env, std::shared_ptr<Channel> channel);

// Throws Error: ERR_CUDA_IPC_INVALID_ARGUMENT for anything that is not a NativeChannel, ERR_CUDA_IPC_CLOSED.
Channel& unwrap_channel(Napi::Value value);

}  // namespace cuda_ipc
