// The bindings of socketPair() and adoptChannel(); part of export_channel().
#pragma once

#include <napi.h>

namespace cuda_ipc {

void export_pair(Napi::Env env, Napi::Object exports);

}  // namespace cuda_ipc
