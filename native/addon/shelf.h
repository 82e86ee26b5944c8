// Shelves of JavaScript, for bindings that take them; the binding of createShelf(), part of export_channel().
#pragma once

#include <napi.h>

#include <memory>

#include "wire/shelf_sender.h"

namespace cuda_ipc {

// An optional argument: null for undefined and null. Throws Error (ERR_CUDA_IPC_INVALID_ARGUMENT) for
// anything else that is not a NativeShelf.
std::shared_ptr<Shelf> shelf_argument(Napi::Value value, const char* name);

void export_shelf(Napi::Env env, Napi::Object exports);

}  // namespace cuda_ipc
