// cuda_ipc_linear_f32, _f16, _bf16: y = W x, with W of `out` rows and `in` columns, row-major. One warp per
// row, sums in f32, from any grid of one dimension with blocks of whole warps.
#include "kernels/decode.h"
#include "kernels/launch.h"

namespace cuda_ipc {

// What one thread takes of a row at a time: 16 bytes of weights.
template <class Weight>
struct alignas(16) Pack {
  static constexpr int kCount = 16 / sizeof(Weight);
  Weight weights[kCount];
};

template <class Weight>
__device__ float pack_product(const Pack<Weight>& pack, const float* x) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < Pack<Weight>::kCount; i += 4) {
    const float4 part = *reinterpret_cast<const float4*>(x + i);
    sum += decode(pack.weights[i]) * part.x;
    sum += decode(pack.weights[i + 1]) * part.y;
    sum += decode(pack.weights[i + 2]) * part.z;
    sum += decode(pack.weights[i + 3]) * part.w;
  }
  return sum;
}

__device__ inline bool aligned(const void* pointer) {
  return reinterpret_cast<unsigned long long>(pointer) % 16 == 0;
}

// The sum over one lane's share of a row.
template <class Weight>
__device__ float lane_product(const Weight* __restrict__ row, const float* __restrict__ x,
                              unsigned long long in, unsigned lane) {
  float sum = 0;
  unsigned long long done = 0;
  if (aligned(row) && aligned(x)) {
    constexpr int kCount = Pack<Weight>::kCount;
    const auto* packs = reinterpret_cast<const Pack<Weight>*>(row);
#pragma unroll 4
    for (unsigned long long i = lane; i < in / kCount; i += 32) {
      // By way of uint4: one 16-byte load.
      const uint4 loaded = __ldcs(reinterpret_cast<const uint4*>(packs + i));
      sum += pack_product(reinterpret_cast<const Pack<Weight>&>(loaded), x + i * kCount);
    }
    done = in / kCount * kCount;
  }
#pragma unroll 4
  for (unsigned long long i = done + lane; i < in; i += 32) sum += decode(row[i]) * x[i];
  return sum;
}

template <class Weight>
__device__ void linear(const Weight* weights, const float* x, float* y, unsigned long long in,
                       unsigned long long out) {
  require_whole_warps();
  const unsigned lane = threadIdx.x % 32;
  for (unsigned long long row = thread_number() / 32; row < out; row += thread_count() / 32) {
    float sum = lane_product(weights + row * in, x, in, lane);
    for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(~0u, sum, distance);
    if (lane == 0) y[row] = sum;
  }
}

}  // namespace cuda_ipc

extern "C" __global__ void cuda_ipc_linear_f32(const float* weights, const float* x, float* y,
                                               unsigned long long in, unsigned long long out) {
  cuda_ipc::linear(weights, x, y, in, out);
}

extern "C" __global__ void cuda_ipc_linear_f16(const cuda_ipc::F16* weights, const float* x, float* y,
                                               unsigned long long in, unsigned long long out) {
  cuda_ipc::linear(weights, x, y, in, out);
}

extern "C" __global__ void cuda_ipc_linear_bf16(const cuda_ipc::Bf16* weights, const float* x, float* y,
                                                unsigned long long in, unsigned long long out) {
  cuda_ipc::linear(weights, x, y, in, out);
}
