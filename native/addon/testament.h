// What an environment leaves to be said.
#pragma once

#include <napi.h>

namespace cuda_ipc {

void export_testament(Napi::Env env, Napi::Object exports);

}  // namespace cuda_ipc
