// Channels of JavaScript, for bindings that return them.
#pragma once

#include <napi.h>

#include <memory>

#include "channel/channel.h"

namespace cuda_ipc {

// A new NativeChannel, which abandons `channel` when it is collected before it was started.
Napi::Value wrap_channel(Napi::Env env, std::shared_ptr<Channel> channel);

}  // namespace cuda_ipc
