#include "addon/kernel_arguments.h"

#include <cstring>
#include <limits>
#include <string>

#include "addon/arguments.h"

namespace cuda_ipc {

namespace {

template <class T>
T integer(Napi::Value value, const char* name) {
  return static_cast<T>(
      integer_argument(value, name, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
}

template <class T>
T real(Napi::Value value, const char* name) {
  if (!value.IsNumber()) invalid_argument(name, "a number", value);
  return static_cast<T>(value.As<Napi::Number>().DoubleValue());
}

uint64_t unsigned64(Napi::Value value, const char* name) {
  bool lossless = false;
  const uint64_t number = value.IsBigInt() ? value.As<Napi::BigInt>().Uint64Value(&lossless) : 0;
  if (!lossless) invalid_argument(name, "a bigint from 0 to 2^64 - 1", value);
  return number;
}

int64_t signed64(Napi::Value value, const char* name) {
  bool lossless = false;
  const int64_t number = value.IsBigInt() ? value.As<Napi::BigInt>().Int64Value(&lossless) : 0;
  if (!lossless) invalid_argument(name, "a bigint from -2^63 to 2^63 - 1", value);
  return number;
}

struct Kind {
  const char* name;
  size_t bytes;
  void (*write)(unsigned char* to, Napi::Value value, const char* name);
};

template <class T, T (*convert)(Napi::Value, const char*)>
void write(unsigned char* to, Napi::Value value, const char* name) {
  const T number = convert(value, name);
  std::memcpy(to, &number, sizeof(T));
}

constexpr Kind kKinds[] = {
    {"pointer", 8, write<cu::CUdeviceptr, pointer_argument>},
    {"u64", 8, write<uint64_t, unsigned64>},
    {"u32", 4, write<uint32_t, integer<uint32_t>>},
    {"f32", 4, write<float, real<float>>},
    {"i64", 8, write<int64_t, signed64>},
    {"i32", 4, write<int32_t, integer<int32_t>>},
    {"f64", 8, write<double, real<double>>},
    {"u16", 2, write<uint16_t, integer<uint16_t>>},
    {"i16", 2, write<int16_t, integer<int16_t>>},
    {"u8", 1, write<uint8_t, integer<uint8_t>>},
    {"i8", 1, write<int8_t, integer<int8_t>>},
};

}  // namespace

KernelArguments::KernelArguments(Napi::Value list) {
  if (!list.IsArray()) invalid_argument("args", "an array", list);
  const Napi::Array array = list.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const std::string name = "args[" + std::to_string(i) + "]";
    append(object_argument(array[i], name.c_str()), i);
  }
  // CUDA reads as many addresses as the kernel has parameters and as many bytes as each of them has. Zeros
  // past the end make a list that is too short, or of types too narrow, a wrong result and not a wild read.
  std::memset(buffer_ + used_, 0, sizeof(buffer_) - used_);
  for (size_t i = count_; i < kMostArguments; ++i) parameters_[i] = buffer_ + kMostBytes;
}

unsigned char* KernelArguments::reserve(size_t bytes, size_t alignment) {
  const size_t begin = (used_ + alignment - 1) / alignment * alignment;
  if (count_ == kMostArguments || begin + bytes > kMostBytes)
    throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT", "Expected at most " + std::to_string(kMostArguments) +
                                                     " arguments of together at most " +
                                                     std::to_string(kMostBytes) + " bytes for args");
  // The gap is never read.
  used_ = begin + bytes;
  parameters_[count_++] = buffer_ + begin;
  return buffer_ + begin;
}

void KernelArguments::append(Napi::Object argument, size_t index) {
  const Napi::Array names = argument.GetPropertyNames();
  const std::string kind = names.Length() == 1 ? names.Get(0u).ToString().Utf8Value() : std::string();
  const std::string name = "args[" + std::to_string(index) + "]." + kind;
  for (const Kind& known : kKinds) {
    if (kind != known.name) continue;
    known.write(reserve(known.bytes, known.bytes), argument.Get(kind), name.c_str());
    return;
  }
  if (kind != "bytes")
    throw Error(
        "ERR_CUDA_IPC_INVALID_ARGUMENT",
        "Expected an object with one of pointer, u8, u16, u32, u64, i8, i16, i32, i64, f32, f64, bytes "
        "for args[" +
            std::to_string(index) + "]");
  const ViewBytes view = view_argument(argument.Get(kind), name.c_str());
  if (view.length == 0) invalid_argument(name.c_str(), "at least one byte", argument.Get(kind));
  std::memcpy(reserve(view.length, kAlignment), view.data, view.length);
}

}  // namespace cuda_ipc
