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

#ifndef __CUDACC__
inline unsigned bits_of(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
#endif

CUDA_IPC_DECODE float decode(float value) {
  return value;
}

CUDA_IPC_DECODE float decode(Bf16 value) {
  return float_of(static_cast<unsigned>(value.bits) << 16);
}

CUDA_IPC_DECODE float decode(F16 value) {
#ifdef __CUDACC__
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
#else
  // Masks and no branches, so that compilers vectorise it.
  const int magnitude = value.bits & 0x7fff;
  const unsigned sign = static_cast<unsigned>(value.bits & 0x8000) << 16;
  const unsigned is_subnormal = -static_cast<unsigned>(magnitude < 0x0400);
  const unsigned is_special = -static_cast<unsigned>(magnitude >= 0x7c00);  // infinity, NaN: exponent 255
  const unsigned normal = (static_cast<unsigned>(magnitude) << 13) + (112u << 23) + (is_special & 112u << 23);
  const unsigned subnormal = bits_of(static_cast<float>(magnitude) * 0x1p-24f);
  return float_of(sign | (subnormal & is_subnormal) | (normal & ~is_subnormal));
#endif
}

}  // namespace cuda_ipc
