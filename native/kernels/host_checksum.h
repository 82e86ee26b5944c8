// The checksum of host memory, as checksum.h defines it.
#pragma once

#include <cstddef>
#include <cstring>

#include "kernels/checksum.h"

namespace cuda_ipc {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are little-endian");

// The sums of a piece that begins with word number `first_word` of the whole.
inline ChecksumSums sum_words(const unsigned char* data, size_t bytes, Word first_word) {
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

// The same of so many zeros.
inline ChecksumSums sum_zeros(size_t bytes, Word first_word) {
  ChecksumSums sums;
  Word key = checksum_key(first_word);
  for (Word i = 0; i < (bytes + 7) / 8; ++i, key += kChecksumKey) checksum_add(sums, 0, key);
  return sums;
}

}  // namespace cuda_ipc
