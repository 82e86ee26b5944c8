// What a load is to do, and how it is cut into chunks for several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "driver/types.h"
#include "transfer/source.h"

namespace cuda_ipc {

// One contiguous copy: `bytes` from `offset` of a source to `target` on the device.
struct LoadRun {
  size_t source;  // index into LoadPlan::sources
  size_t offset;
  size_t bytes;
  size_t target;  // from LoadPlan::base
};

struct LoadPlan {
  int device = 0;
  cu::CUdeviceptr base = 0;
  std::vector<SourceName> sources;
  std::vector<LoadRun> runs;
  unsigned threads = 0;  // 0: what the machine repays
  FileAccess access = FileAccess::kAuto;
  // The whole ring of a thread, two chunks, should stay in the processor's cache between the read and the
  // copy: on a host with an H100, 8 MiB of ring load at 48 GB/s, 16 MiB at 45, and small chunks cost more
  // calls.
  size_t chunk_bytes = 4 << 20;
};

// The runs of a plan as a sequence of chunks of at most chunk_bytes, none of which lies across two runs.
// Chunks of files are cut where blocks of the file begin, so that they can be read past the page cache; but
// not where that would cut inside the 8-byte words of the target.
class Chunks {
 public:
  explicit Chunks(const LoadPlan& plan);  // throws Error: ERR_CUDA_IPC_INVALID_ARGUMENT

  size_t count() const { return ends_.empty() ? 0 : ends_.back(); }
  LoadRun at(size_t index) const;
  size_t total_bytes() const { return total_bytes_; }
  // What a chunk needs as staging at most: its bytes, and of a file the blocks that they lie in.
  size_t largest() const { return largest_; }
  // How many bytes the runs ask of each source, counted from its beginning.
  const std::vector<size_t>& needed() const { return needed_; }

 private:
  // By how much the first chunk of a run is shorter, so that the others begin with a block.
  size_t shift(const LoadRun& run) const;

  const LoadPlan& plan_;
  std::vector<size_t> ends_;  // for each run, the number of chunks up to its end
  std::vector<size_t> needed_;
  size_t total_bytes_ = 0;
  size_t largest_ = 0;
};

}  // namespace cuda_ipc
