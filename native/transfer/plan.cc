#include "transfer/plan.h"

#include <algorithm>

namespace cuda_ipc {

namespace {

constexpr size_t kWord = 8;

}  // namespace

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
    const bool of_file = std::holds_alternative<FilePath>(plan.sources[run.source]);
    const size_t staging = of_file ? blocks_around(run.offset, run.bytes) : run.bytes;
    largest_ = std::max(largest_, run.bytes == 0 ? 0 : std::min(staging, plan.chunk_bytes));
    const size_t cut = shift(run) + run.bytes;
    const size_t chunks = run.bytes == 0 ? 0 : cut / plan.chunk_bytes + (cut % plan.chunk_bytes != 0);
    ends_.push_back(count() + chunks);
  }
}

LoadRun Chunks::at(size_t index) const {
  const auto end = std::upper_bound(ends_.begin(), ends_.end(), index);
  const size_t number = end - ends_.begin();
  const size_t first = number == 0 ? 0 : ends_[number - 1];
  const LoadRun& run = plan_.runs[number];
  const size_t shorter = shift(run);
  const size_t skipped = index == first ? 0 : (index - first) * plan_.chunk_bytes - shorter;
  const size_t most = index == first ? plan_.chunk_bytes - shorter : plan_.chunk_bytes;
  return {run.source, run.offset + skipped, std::min(run.bytes - skipped, most), run.target + skipped};
}

size_t Chunks::shift(const LoadRun& run) const {
  const bool of_file = std::holds_alternative<FilePath>(plan_.sources[run.source]);
  const bool whole_blocks = plan_.chunk_bytes % kFileBlock == 0;
  const bool whole_words = run.offset % kWord == run.target % kWord;
  return of_file && whole_blocks && whole_words ? run.offset % kFileBlock : 0;
}

}  // namespace cuda_ipc
