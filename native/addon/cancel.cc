#include "addon/cancel.h"

#include "addon/arguments.h"
#include "addon/environment.h"

namespace cuda_ipc {

NativeCancel::NativeCancel(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeCancel>(info) {
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

void NativeCancel::define_class(Napi::Env env) {
  Environment::of(env).constructor_of(&kTag) =
      Napi::Persistent(DefineClass(env, "NativeCancel", {InstanceMethod("cancel", &NativeCancel::cancel)}));
}

Napi::Value create_cancel(const Napi::CallbackInfo& info) {
  return Environment::of(info.Env()).constructor_of(&NativeCancel::kTag).New({});
}

CancelFlag cancel_argument(Napi::Value value, const char* name) {
  if (is_absent(value)) return nullptr;
  const NativeCancel* cancel = unwrap_tagged<NativeCancel>(value, NativeCancel::kTag);
  if (cancel == nullptr) invalid_argument(name, "what createCancel() returned", value);
  return cancel->flag();
}

}  // namespace cuda_ipc
