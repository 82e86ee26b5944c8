// cuda_ipc_checksum: adds the sums of a piece of data to `sums`. See checksum.h for the algorithm.
#include "kernels/checksum.h"
#include "kernels/launch.h"

namespace cuda_ipc {

// Two words per load; four loads in flight per thread keep the memory busy.
__device__ void add_pairs(ChecksumSums& sums, const ulonglong2* pairs, Word count, Word first_word,
                          Word thread, Word threads) {
  constexpr int kInFlight = 4;
  Word i = thread;
  Word key = checksum_key(first_word + 2 * i);
  const Word step = 2 * threads * kChecksumKey;
  for (; i + (kInFlight - 1) * threads < count; i += kInFlight * threads) {
    ulonglong2 loaded[kInFlight];
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) loaded[j] = __ldcs(pairs + i + j * threads);
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) {
      checksum_add(sums, loaded[j].x, key);
      checksum_add(sums, loaded[j].y, key + kChecksumKey);
      key += step;
    }
  }
  for (; i < count; i += threads) {
    const ulonglong2 loaded = __ldcs(pairs + i);
    checksum_add(sums, loaded.x, key);
    checksum_add(sums, loaded.y, key + kChecksumKey);
    key += step;
  }
}

// Words at an odd address, each out of the two aligned words it lies across. The first and the last whole
// word are left to the caller: their aligned words may reach out of the data.
__device__ void add_shifted(ChecksumSums& sums, const unsigned char* data, Word words, Word first_word,
                            Word thread, Word threads) {
  const auto address = reinterpret_cast<unsigned long long>(data);
  const auto* aligned = reinterpret_cast<const Word*>(address & ~7ull);
  const unsigned shift = 8 * static_cast<unsigned>(address & 7);
#pragma unroll 4
  for (Word i = 1 + thread; i + 1 < words; i += threads)
    checksum_add(sums, (aligned[i] >> shift) | (aligned[i + 1] << (64 - shift)),
                 checksum_key(first_word + i));
}

__device__ void add_block(ChecksumSums sums, Word* totals) {
  __shared__ ChecksumSums of_warp[32];
  for (int distance = 16; distance > 0; distance /= 2) {
    sums.first += __shfl_down_sync(~0u, sums.first, distance);
    sums.second += __shfl_down_sync(~0u, sums.second, distance);
  }
  if (threadIdx.x % 32 == 0) {
    of_warp[threadIdx.x / 32].first = sums.first;
    of_warp[threadIdx.x / 32].second = sums.second;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (unsigned warp = 1; warp < blockDim.x / 32; ++warp) {
    sums.first += of_warp[warp].first;
    sums.second += of_warp[warp].second;
  }
  atomicAdd(&totals[0], sums.first);
  atomicAdd(&totals[1], sums.second);
}

}  // namespace cuda_ipc

// `data` begins with word number `first_word` of the whole. Any alignment, any size, any grid of one
// dimension with blocks of whole warps. `sums` is added to, never cleared.
extern "C" __global__ void cuda_ipc_checksum(const void* data, unsigned long long bytes,
                                             unsigned long long first_word, unsigned long long* sums) {
  using namespace cuda_ipc;
  require_whole_warps();
  const auto* begin = static_cast<const unsigned char*>(data);
  const unsigned alignment = reinterpret_cast<unsigned long long>(begin) % 16;
  const Word words = bytes / 8;
  const Word thread = thread_number();
  ChecksumSums mine;
  if (alignment % 8 == 0) {
    const auto* word = reinterpret_cast<const Word*>(begin);
    const Word before = alignment == 8 && words > 0 ? 1 : 0;
    const Word pairs = (words - before) / 2;
    add_pairs(mine, reinterpret_cast<const ulonglong2*>(word + before), pairs, first_word + before, thread,
              thread_count());
    if (thread == 0 && before != 0) checksum_add(mine, word[0], checksum_key(first_word));
    if (thread == 0 && before + 2 * pairs < words)
      checksum_add(mine, word[words - 1], checksum_key(first_word + words - 1));
  } else {
    add_shifted(mine, begin, words, first_word, thread, thread_count());
    if (thread == 0 && words > 0) checksum_add(mine, checksum_bytes(begin, 8), checksum_key(first_word));
    if (thread == 0 && words > 1)
      checksum_add(mine, checksum_bytes(begin + 8 * (words - 1), 8), checksum_key(first_word + words - 1));
  }
  if (thread == 0 && bytes % 8 != 0)
    checksum_add(mine, checksum_bytes(begin + 8 * words, bytes % 8), checksum_key(first_word + words));
  add_block(mine, sums);
}
