#include "kernels/host_checksum.h"

#include <cstring>

namespace cuda_ipc {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are little-endian");

ChecksumSums sum_words(const unsigned char* data, size_t bytes, Word first_word) {
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

ChecksumSums sum_zeros(size_t bytes, Word first_word) {
  ChecksumSums sums;
  Word key = checksum_key(first_word);
  for (Word i = 0; i < (bytes + 7) / 8; ++i, key += kChecksumKey) checksum_add(sums, 0, key);
  return sums;
}

}  // namespace cuda_ipc
