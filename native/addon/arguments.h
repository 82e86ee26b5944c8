// Re-checks of what JavaScript handed in. lib/ has validated and applied defaults before; these keep the
// addon memory-safe whoever calls it. Each throws Error (ERR_CUDA_IPC_INVALID_ARGUMENT): "Expected X for y,
// but received z of type t". To be called inside guarded() or a checked<> function.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>

#include "addon/environment.h"
#include "driver/types.h"

namespace cuda_ipc {

[[noreturn]] void invalid_argument(const char* name, const std::string& expected, Napi::Value received);

// An integral number between `least` and `most`.
int64_t integer_argument(Napi::Value value, const char* name, int64_t least, int64_t most);
// A device ordinal. Whether the device exists is for the driver to say.
int device_argument(Napi::Value value, const char* name = "device");
// A byte count or offset: a safe integer, or a bigint of the same range, from `least` on.
size_t bytes_argument(Napi::Value value, const char* name, size_t least = 0);
// A device pointer: a bigint of at most 64 bits, not negative.
cu::CUdeviceptr pointer_argument(Napi::Value value, const char* name);
bool boolean_argument(Napi::Value value, const char* name);
std::string string_argument(Napi::Value value, const char* name);
Napi::Object object_argument(Napi::Value value, const char* name);
Napi::Function function_argument(Napi::Value value, const char* name);

// The bytes behind a Buffer, typed array or DataView; valid while the view is.
struct ViewBytes {
  uint8_t* data;
  size_t length;
};
ViewBytes view_argument(Napi::Value value, const char* name);
// The same, of exactly `length` bytes.
ViewBytes view_argument(Napi::Value value, const char* name, size_t length);
// A copy of `length` bytes, such as a 64-byte CUDA IPC handle or a 16-byte id, into a struct of that size.
template <class Struct>
Struct struct_argument(Napi::Value value, const char* name) {
  Struct result;
  const ViewBytes view = view_argument(value, name, sizeof(Struct));
  __builtin_memcpy(&result, view.data, sizeof(Struct));
  return result;
}

inline bool is_absent(Napi::Value value) {
  return value.IsUndefined() || value.IsNull();
}

// Objects of this addon are recognised by a tag, so that a foreign object in their place is an error and not
// a wild pointer. Null when `value` is anything else.
template <class Wrapped>
Wrapped* unwrap_tagged(Napi::Value value, const napi_type_tag& tag) {
  if (!value.IsObject()) return nullptr;
  const Napi::Object object = value.As<Napi::Object>();
  return object.CheckTypeTag(&tag) ? Napi::ObjectWrap<Wrapped>::Unwrap(object) : nullptr;
}

// A binding function that may throw Error: exports["x"] = Napi::Function::New<checked<x>>(env, "x").
template <Napi::Value (*Body)(const Napi::CallbackInfo&)>
Napi::Value checked(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Body(info); });
}

}  // namespace cuda_ipc
