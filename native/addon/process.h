// Watches on processes, for bindings that return them.
#pragma once

#include <napi.h>

#include "channel/process_handle.h"

namespace cuda_ipc {

// A new NativeProcess that calls `on_exit` once when the process dies, at once when it is dead already.
Napi::Value watch_process(Napi::Env env, ProcessHandle process, Napi::Function on_exit);

}  // namespace cuda_ipc
