#include "kernels/checksum.h"

#include <cstring>

#include "driver/host/kernels/entries.h"

namespace cuda_ipc::host {

namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are little-endian");

ChecksumSums sums_of(const unsigned char* data, Word bytes, Word first_word) {
  ChecksumSums sums;
  const Word words = bytes / 8;
  Word key = checksum_key(first_word);
  for (Word i = 0; i < words; ++i, key += kChecksumKey) {
    Word word;
    std::memcpy(&word, data + 8 * i, sizeof(word));
    checksum_add(sums, word, key);
  }
  if (bytes % 8 != 0) checksum_add(sums, checksum_bytes(data + 8 * words, bytes % 8), key);
  return sums;
}

}  // namespace

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
  const ChecksumSums sums = sums_of(data, bytes, parameter<Word>(launch, 2));
  __atomic_fetch_add(&totals[0], sums.first, __ATOMIC_RELAXED);
  __atomic_fetch_add(&totals[1], sums.second, __ATOMIC_RELAXED);
  return cu::CUDA_SUCCESS;
}

}  // namespace cuda_ipc::host
