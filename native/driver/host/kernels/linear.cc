#include "driver/host/kernels/entries.h"
#include "kernels/decode.h"

namespace cuda_ipc::host {

namespace {

// Several sums side by side: compilers may not reorder float additions, so the order that fits vector
// registers is written out. Sixteen lanes keep the adders of 128-bit and 512-bit machines alike busy.
template <class Weight>
float row_product(const Weight* row, const float* x, unsigned long long in) {
  constexpr int kLanes = 16;
  float sums[kLanes] = {};
  unsigned long long i = 0;
  for (; i + kLanes <= in; i += kLanes)
    for (int lane = 0; lane < kLanes; ++lane) sums[lane] += decode(row[i + lane]) * x[i + lane];
  float sum = 0;
  for (; i < in; ++i) sum += decode(row[i]) * x[i];
  for (float lane : sums) sum += lane;
  return sum;
}

template <class Weight>
cu::CUresult run_linear(const HostLaunch& launch) {
  if (!whole_warps(launch)) return cu::CUDA_ERROR_LAUNCH_FAILED;
  const auto weights_pointer = parameter<cu::CUdeviceptr>(launch, 0);
  const auto x_pointer = parameter<cu::CUdeviceptr>(launch, 1);
  const auto y_pointer = parameter<cu::CUdeviceptr>(launch, 2);
  const auto in = parameter<unsigned long long>(launch, 3);
  const auto out = parameter<unsigned long long>(launch, 4);
  if (out == 0) return cu::CUDA_SUCCESS;
  if (misaligned<Weight>(weights_pointer) || misaligned<float>(x_pointer) || misaligned<float>(y_pointer))
    return cu::CUDA_ERROR_MISALIGNED_ADDRESS;
  const Weight* weights;
  const float* x;
  float* y;
  unsigned long long count;
  if (__builtin_mul_overflow(in, out, &count) || !range(launch, weights_pointer, count, false, weights) ||
      !range(launch, x_pointer, in, false, x) || !range(launch, y_pointer, out, true, y))
    return cu::CUDA_ERROR_ILLEGAL_ADDRESS;
  for (unsigned long long row = 0; row < out; ++row) y[row] = row_product(weights + row * in, x, in);
  return cu::CUDA_SUCCESS;
}

}  // namespace

cu::CUresult run_linear_f32(const HostLaunch& launch) {
  return run_linear<float>(launch);
}
cu::CUresult run_linear_f16(const HostLaunch& launch) {
  return run_linear<F16>(launch);
}
cu::CUresult run_linear_bf16(const HostLaunch& launch) {
  return run_linear<Bf16>(launch);
}

}  // namespace cuda_ipc::host
