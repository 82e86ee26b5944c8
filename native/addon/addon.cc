// The addon's entry: every binding file registers what it exports.
#include <napi.h>

#include "addon/environment.h"
#include "addon/exports.h"

namespace {

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  using namespace cuda_ipc;
  Environment::install(env);
  exports["setErrorFactory"] = Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
    Environment::of(info.Env()).set_error_factory(info[0].As<Napi::Function>());
  });
  export_fd(env, exports);
  export_channel(env, exports);
  export_process(env, exports);
  export_file_lock(env, exports);
  export_device(env, exports);
  export_memory(env, exports);
  export_ipc(env, exports);
  export_vmm(env, exports);
  export_stream(env, exports);
  export_event(env, exports);
  export_module(env, exports);
  export_slab(env, exports);
  export_grants(env, exports);
  export_load(env, exports);
  export_checksum(env, exports);
  export_manifest(env, exports);
  export_notify(env, exports);
  export_random(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(cuda_ipc, initialize)
