// The checksum of host memory, as checksum.h defines it.
#pragma once

#include <cstddef>

#include "kernels/checksum.h"

namespace cuda_ipc {

// The sums of a piece that begins with word number `first_word` of the whole.
ChecksumSums sum_words(const unsigned char* data, size_t bytes, Word first_word);

// The same of so many zeros.
ChecksumSums sum_zeros(size_t bytes, Word first_word);

}  // namespace cuda_ipc
