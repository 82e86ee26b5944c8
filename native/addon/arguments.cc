#include "addon/arguments.h"

#include <cmath>
#include <limits>

namespace cuda_ipc {

namespace {

constexpr double kMaxSafeInteger = 9007199254740991.0;

const char* type_name(napi_valuetype type) {
  switch (type) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return "boolean";
    case napi_number:
      return "number";
    case napi_string:
      return "string";
    case napi_symbol:
      return "symbol";
    case napi_function:
      return "function";
    case napi_bigint:
      return "bigint";
    default:
      return "object";
  }
}

// Only of primitives: the text of an object is made by code of the application, which may throw or run on.
std::string shown(Napi::Value value) {
  switch (value.Type()) {
    case napi_string:
      return '"' + value.As<Napi::String>().Utf8Value().substr(0, 100) + '"';
    case napi_undefined:
    case napi_null:
    case napi_boolean:
    case napi_number:
    case napi_bigint:
      return value.ToString().Utf8Value();
    default:
      return std::string("a value");
  }
}

}  // namespace

void invalid_argument(const char* name, const std::string& expected, Napi::Value received) {
  throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT", "Expected " + expected + " for " + name + ", but received " +
                                                   shown(received) + " of type " +
                                                   type_name(received.Type()));
}

int64_t integer_argument(Napi::Value value, const char* name, int64_t least, int64_t most) {
  if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    if (std::trunc(number) == number && std::fabs(number) <= kMaxSafeInteger) {
      const auto integer = static_cast<int64_t>(number);
      if (integer >= least && integer <= most) return integer;
    }
  }
  invalid_argument(name, "an integer from " + std::to_string(least) + " to " + std::to_string(most), value);
}

int device_argument(Napi::Value value, const char* name) {
  return static_cast<int>(integer_argument(value, name, 0, std::numeric_limits<int>::max()));
}

size_t bytes_argument(Napi::Value value, const char* name, size_t least) {
  if (value.IsBigInt()) {
    bool lossless = false;
    const uint64_t bytes = value.As<Napi::BigInt>().Uint64Value(&lossless);
    if (lossless && bytes >= least && bytes <= static_cast<uint64_t>(kMaxSafeInteger)) return bytes;
  } else if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    if (std::trunc(number) == number && number >= static_cast<double>(least) && number <= kMaxSafeInteger)
      return static_cast<size_t>(number);
  }
  invalid_argument(name, "a safe integer from " + std::to_string(least), value);
}

cu::CUdeviceptr pointer_argument(Napi::Value value, const char* name) {
  if (value.IsBigInt()) {
    bool lossless = false;
    const uint64_t pointer = value.As<Napi::BigInt>().Uint64Value(&lossless);
    if (lossless) return pointer;
  }
  invalid_argument(name, "a device pointer (a bigint of 64 bits)", value);
}

bool boolean_argument(Napi::Value value, const char* name) {
  if (!value.IsBoolean()) invalid_argument(name, "a boolean", value);
  return value.As<Napi::Boolean>().Value();
}

std::string string_argument(Napi::Value value, const char* name) {
  if (!value.IsString()) invalid_argument(name, "a string", value);
  return value.As<Napi::String>().Utf8Value();
}

Napi::Object object_argument(Napi::Value value, const char* name) {
  if (!value.IsObject()) invalid_argument(name, "an object", value);
  return value.As<Napi::Object>();
}

Napi::Function function_argument(Napi::Value value, const char* name) {
  if (!value.IsFunction()) invalid_argument(name, "a function", value);
  return value.As<Napi::Function>();
}

ViewBytes view_argument(Napi::Value value, const char* name) {
  // Asked of Node-API itself: node-addon-api's wrappers refuse views of a SharedArrayBuffer.
  void* data = nullptr;
  if (value.IsTypedArray()) {
    const Napi::TypedArray array = value.As<Napi::TypedArray>();
    // An element size of 0: a kind of array younger than this addon.
    if (array.ElementSize() != 0 &&
        napi_get_typedarray_info(value.Env(), value, nullptr, nullptr, &data, nullptr, nullptr) == napi_ok)
      return {static_cast<uint8_t*>(data), array.ByteLength()};
  } else if (value.IsDataView()) {
    size_t length = 0;
    if (napi_get_dataview_info(value.Env(), value, &length, &data, nullptr, nullptr) == napi_ok)
      return {static_cast<uint8_t*>(data), length};
  }
  invalid_argument(name, "a Buffer, typed array or DataView", value);
}

ViewBytes view_argument(Napi::Value value, const char* name, size_t length) {
  const ViewBytes view = view_argument(value, name);
  if (view.length != length)
    throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT", "Expected " + std::to_string(length) + " bytes for " + name +
                                                     ", but received " + std::to_string(view.length));
  return view;
}

}  // namespace cuda_ipc
