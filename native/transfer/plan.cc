#include "transfer/plan.h"

#include <algorithm>

namespace cuda_ipc {

Chunks::Chunks(const LoadPlan& plan) : plan_(plan), needed_(plan.sources.size()) {
  ends_.reserve(plan.runs.size());
  for (const LoadRun& run : plan.runs) {
    size_t end;
    size_t target_end;
    if (run.source >= plan.sources.size() || __builtin_add_overflow(run.offset, run.bytes, &end) ||
        __builtin_add_overflow(run.target, run.bytes, &target_end) ||
        __builtin_add_overflow(total_bytes_, run.bytes, &total_bytes_))
      throw Error(
          "ERR_CUDA_IPC_INVALID_ARGUMENT",
          "Run " + std::to_string(ends_.size()) + " of a load names a source or a range that cannot exist");
    needed_[run.source] = std::max(needed_[run.source], end);
    largest_ = std::max(largest_, std::min(run.bytes, plan.chunk_bytes));
    const size_t chunks = run.bytes / plan.chunk_bytes + (run.bytes % plan.chunk_bytes != 0);
    ends_.push_back(count() + chunks);
  }
}

LoadRun Chunks::at(size_t index) const {
  const auto end = std::upper_bound(ends_.begin(), ends_.end(), index);
  const size_t number = end - ends_.begin();
  const size_t first = number == 0 ? 0 : ends_[number - 1];
  const LoadRun& run = plan_.runs[number];
  const size_t skipped = (index - first) * plan_.chunk_bytes;
  return {run.source, run.offset + skipped, std::min(run.bytes - skipped, plan_.chunk_bytes),
          run.target + skipped};
}

}  // namespace cuda_ipc
