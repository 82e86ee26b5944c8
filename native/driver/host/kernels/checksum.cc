#include "kernels/host_checksum.h"

#include "driver/host/kernels/entries.h"

namespace cuda_ipc::host {

cu::CUresult run_checksum(const HostLaunch& launch) {
  const auto sums_pointer = parameter<cu::CUdeviceptr>(launch, 3);
  if (!whole_warps(launch)) return cu::CUDA_ERROR_LAUNCH_FAILED;
  if (misaligned<Word>(sums_pointer)) return cu::CUDA_ERROR_MISALIGNED_ADDRESS;
  const auto bytes = parameter<Word>(launch, 1);
  const unsigned char* data;
  Word* totals;
  if (!range(launch, parameter<cu::CUdeviceptr>(launch, 0), bytes, false, data) ||
      !range(launch, sums_pointer, 2, true, totals))
    return cu::CUDA_ERROR_ILLEGAL_ADDRESS;
  const ChecksumSums sums = sum_words(data, bytes, parameter<Word>(launch, 2));
  __atomic_fetch_add(&totals[0], sums.first, __ATOMIC_RELAXED);
  __atomic_fetch_add(&totals[1], sums.second, __ATOMIC_RELAXED);
  return cu::CUDA_SUCCESS;
}

}  // namespace cuda_ipc::host
