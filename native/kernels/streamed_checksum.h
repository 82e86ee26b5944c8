// The checksum of memory that a load is filling: summed piece by piece, as the pieces land.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "driver/error.h"
#include "kernels/device_checksum.h"
#include "kernels/sums_memory.h"
#include "kernels/word_gaps.h"

namespace cuda_ipc {

// Gives what device_checksum() gives for the first `bytes` of the plan's target, without a pass of its own:
// each piece is read by the stream that has just copied it, while other streams copy others. What no run
// covers must be zero before the load begins; it is summed at the end. Plans that cannot be summed this way
// (pieces that do not begin at words, many gaps) are summed in one pass at the end, and so is everything
// where the device has no room left for the sums.
class StreamedChecksum {
 public:
  // Allocates the sums and loads the kernels on a thread of its own, and the first pieces can land meanwhile:
  // the kernels' first use in a process takes some ms.
  StreamedChecksum(const LoadPlan& plan, size_t bytes);
  ~StreamedChecksum();
  StreamedChecksum(const StreamedChecksum&) = delete;
  StreamedChecksum& operator=(const StreamedChecksum&) = delete;

  // From any thread, with the device's context current: the copy of a piece is in the stream.
  void landing(cu::CUstream stream, size_t target, size_t bytes);

  // When everything has landed, and what landing() put into streams is done. Throws what went wrong.
  Checksum finish();

 private:
  void prepare() noexcept;
  void sum(cu::CUstream stream, WordRange piece);

  const LoadPlan& plan_;
  const size_t bytes_;
  const std::optional<std::vector<WordRange>> gaps_;  // nothing: one pass at the end
  std::optional<SumsMemory> sums_;                    // of prepare()
  std::atomic<cu::CUfunction> kernel_{
      nullptr};                   // set when the sums can be added to; never: one pass at the end
  std::optional<Error> failure_;  // of prepare()
  std::mutex mutex_;
  std::vector<WordRange> early_;  // landed before the kernel was there
  std::thread preparing_;
};

}  // namespace cuda_ipc
