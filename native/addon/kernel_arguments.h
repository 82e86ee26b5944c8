// The parameters of a kernel launch, marshalled into one aligned buffer.
#pragma once

#include <napi.h>

#include <cstddef>

namespace cuda_ipc {

// From an array of objects of one property each: { u32: 1 }, { f32: 0.5 }, { pointer: 0n }, { bytes: view }.
// The values are copied; cuLaunchKernel copies them once more before it returns.
class KernelArguments {
 public:
  explicit KernelArguments(Napi::Value list);
  KernelArguments(const KernelArguments&) = delete;
  KernelArguments& operator=(const KernelArguments&) = delete;

  // cuLaunchKernel's `kernelParams`.
  void** parameters() { return parameters_; }

 private:
  // CUDA's limit on the bytes of all parameters.
  static constexpr size_t kMostBytes = 4096;
  static constexpr size_t kMostArguments = 256;
  static constexpr size_t kAlignment = 16;

  unsigned char* reserve(size_t bytes, size_t alignment);
  void append(Napi::Object argument, size_t index);

  alignas(kAlignment) unsigned char buffer_[2 * kMostBytes];
  void* parameters_[kMostArguments];
  size_t used_ = 0;
  size_t count_ = 0;
};

}  // namespace cuda_ipc
