#include "kernels/word_gaps.h"

namespace cuda_ipc {

std::optional<std::vector<WordRange>> word_gaps(const LoadPlan& plan, size_t bytes) {
  if (plan.chunk_bytes % kChecksumWord != 0) return std::nullopt;
  std::vector<WordRange> gaps;
  size_t covered = 0;
  for (const LoadRun& run : plan.runs) {
    if (run.bytes == 0) continue;
    const bool in_order = run.target >= covered && run.target <= bytes && run.bytes <= bytes - run.target;
    if (!in_order || run.target % kChecksumWord != 0) return std::nullopt;
    if (run.target > covered) gaps.push_back({covered, run.target - covered});
    covered = (run.target + run.bytes + kChecksumWord - 1) / kChecksumWord * kChecksumWord;
  }
  if (covered < bytes) gaps.push_back({covered, bytes - covered});
  return gaps;
}

}  // namespace cuda_ipc
