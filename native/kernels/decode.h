// The bits of bfloat16 and IEEE half precision as floats, exact, subnormal numbers included.
#pragma once

#ifdef __CUDACC__
#define CUDA_IPC_DECODE __device__ inline
#else
#include <cstring>
#define CUDA_IPC_DECODE inline
#endif

namespace cuda_ipc {

struct Bf16 {
  unsigned short bits;
};
struct F16 {
  unsigned short bits;
};

CUDA_IPC_DECODE float float_of(unsigned bits) {
#ifdef __CUDACC__
  return __uint_as_float(bits);
#else
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
#endif
}

CUDA_IPC_DECODE float decode(float value) { return value; }

CUDA_IPC_DECODE float decode(Bf16 value) { return float_of(static_cast<unsigned>(value.bits) << 16); }

CUDA_IPC_DECODE float decode(F16 value) {
#ifdef __CUDACC__
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
#else
  // Selections and no branches, so that compilers vectorise it.
  const unsigned sign = static_cast<unsigned>(value.bits & 0x8000) << 16;
  const unsigned magnitude = value.bits & 0x7fff;
  const unsigned rebias = magnitude >= 0x7c00 ? 224u << 23 : 112u << 23;  // infinity and NaN stay what they are
  const unsigned normal = (magnitude << 13) + rebias;
  const float subnormal_value = static_cast<float>(static_cast<int>(magnitude)) * 0x1p-24f;
  unsigned subnormal;
  std::memcpy(&subnormal, &subnormal_value, sizeof(subnormal));
  return float_of(sign | (magnitude < 0x0400 ? subnormal : normal));
#endif
}

}  // namespace cuda_ipc
