// The binding of connect(); part of export_channel().
#pragma once

#include <napi.h>

namespace cuda_ipc {

void export_connect(Napi::Env env, Napi::Object exports);

}  // namespace cuda_ipc
