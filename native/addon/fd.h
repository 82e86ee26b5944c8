// File descriptors of JavaScript, for bindings that take or return them.
#pragma once

#include <napi.h>

#include <memory>

#include "memory/fd.h"

namespace cuda_ipc {

// The descriptor inside a NativeFd: open, and still owned by it. Throws Error: ERR_CUDA_IPC_INVALID_ARGUMENT
// for anything that is not a NativeFd, ERR_CUDA_IPC_CLOSED for a closed one.
Fd& unwrap_fd(Napi::Value value);

// The same for whoever needs it longer: it is closed when nobody has it any more.
std::shared_ptr<Fd> share_fd(Napi::Value value);

// Closes the NativeFd of an open descriptor: others may share that.
void close_fd(Napi::Value value);

// A new NativeFd, which owns the descriptor.
Napi::Value wrap_fd(Napi::Env env, Fd fd);

}  // namespace cuda_ipc
