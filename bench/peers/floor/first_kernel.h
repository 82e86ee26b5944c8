// The first kernel on imported memory: the library's own module is loaded, and its checksum kernel runs.
#pragma once

#include "clock.h"
#include "floor/cuda.h"
#include "kernels_ptx.inc"

namespace floor_program {

struct FirstKernel {
  int64_t loaded = 0, done = 0;
};

inline FirstKernel run_first_kernel(const cu::Table& cuda, cu::CUdeviceptr data) {
  FirstKernel it;
  cu::CUmodule module;
  cu::CUfunction function;
  FLOOR_CHECK(cuda, cuModuleLoadData(&module, kKernelImage));
  FLOOR_CHECK(cuda, cuModuleGetFunction(&function, module, "cuda_ipc_checksum"));
  it.loaded = peers::now();
  cu::CUdeviceptr sums;
  FLOOR_CHECK(cuda, cuMemAlloc(&sums, 16));
  FLOOR_CHECK(cuda, cuMemsetD32(sums, 0, 4));
  unsigned long long bytes = 2 << 20;
  unsigned long long first_word = 0;
  void* parameters[] = {&data, &bytes, &first_word, &sums};
  FLOOR_CHECK(cuda, cuLaunchKernel(function, 64, 1, 1, 256, 1, 1, 0, nullptr, parameters, nullptr));
  FLOOR_CHECK(cuda, cuCtxSynchronize());
  it.done = peers::now();
  return it;
}

}  // namespace floor_program
