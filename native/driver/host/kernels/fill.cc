#include <cstdint>

#include "driver/host/kernels/entries.h"

namespace cuda_ipc::host {

namespace {

// Any alignment, as on the GPU.
template <class T>
cu::CUresult run_fill(const HostLaunch& launch) {
  struct __attribute__((packed)) Element {
    T value;
  };
  const auto count = parameter<unsigned long long>(launch, 1);
  const Element element{parameter<T>(launch, 2)};
  Element* data;
  if (!range(launch, parameter<cu::CUdeviceptr>(launch, 0), count, true, data))
    return cu::CUDA_ERROR_ILLEGAL_ADDRESS;
  for (unsigned long long i = 0; i < count; ++i) data[i] = element;
  return cu::CUDA_SUCCESS;
}

}  // namespace

cu::CUresult run_fill_u8(const HostLaunch& launch) {
  return run_fill<uint8_t>(launch);
}
cu::CUresult run_fill_u16(const HostLaunch& launch) {
  return run_fill<uint16_t>(launch);
}
cu::CUresult run_fill_u32(const HostLaunch& launch) {
  return run_fill<uint32_t>(launch);
}
cu::CUresult run_fill_u64(const HostLaunch& launch) {
  return run_fill<uint64_t>(launch);
}

}  // namespace cuda_ipc::host
