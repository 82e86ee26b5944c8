// The binding of listen(); part of export_channel().
#pragma once

#include <napi.h>

namespace cuda_ipc {

void export_listener(Napi::Env env, Napi::Object exports);

}  // namespace cuda_ipc
