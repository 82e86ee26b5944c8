// What the runs of a load leave out of the words that a checksum is made of.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "transfer/plan.h"

namespace cuda_ipc {

constexpr size_t kChecksumWord = 8;

struct WordRange {
  size_t offset;  // a multiple of a word's size
  size_t bytes;
};

// The ranges of the first `bytes` of a plan's target that no run covers, and which must hold zeros. A run
// that ends inside a word counts as covering it. Nothing where the plan's chunks cannot be summed one by one:
// runs out of order, one over another, or beyond `bytes`; chunks that do not begin at words.
std::optional<std::vector<WordRange>> word_gaps(const LoadPlan& plan, size_t bytes);

}  // namespace cuda_ipc
