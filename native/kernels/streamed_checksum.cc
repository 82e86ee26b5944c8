#include "kernels/streamed_checksum.h"

#include <system_error>

#include "driver/driver.h"
#include "kernels/builtin.h"
#include "transfer/stream.h"

namespace cuda_ipc {

namespace {

// A launch for each gap: with more of them, one pass over everything is quicker.
constexpr size_t kMostGaps = 64;

std::optional<std::vector<WordRange>> few_gaps(const LoadPlan& plan, size_t bytes) {
  auto gaps = word_gaps(plan, bytes);
  if (gaps && gaps->size() > kMostGaps) gaps.reset();
  return gaps;
}

}  // namespace

StreamedChecksum::StreamedChecksum(const LoadPlan& plan, size_t bytes)
    : plan_(plan), bytes_(bytes), gaps_(few_gaps(plan, bytes)) {
  if (!gaps_) return;
  {
    const ContextScope scope(plan_.device);
    require_device_memory(plan_.base, bytes_);
  }
  try {
    preparing_ = std::thread([this] { prepare(); });
  } catch (const std::exception&) {  // no more threads
    prepare();
  }
}

StreamedChecksum::~StreamedChecksum() {
  if (preparing_.joinable()) preparing_.join();
}

void StreamedChecksum::prepare() noexcept {
  try {
    const ContextScope scope(plan_.device);
    const Stream stream(plan_.device, cu::CU_STREAM_NON_BLOCKING);
    sums_.emplace(plan_.device, stream.get());
    CUDA_IPC_CHECK(cuStreamSynchronize(stream.get()));
    // A launch for each piece, and each adds across the bus: one launch over everything is quicker.
    if (!sums_->on_device()) return;
    kernel_ = builtin_kernels(plan_.device).function("cuda_ipc_checksum");
  } catch (const Error& error) {
    failure_.emplace(error);
  } catch (const std::exception& error) {
    failure_.emplace(Error("ERR_CUDA_IPC_INTERNAL", error.what()));
  }
}

void StreamedChecksum::landing(cu::CUstream stream, size_t target, size_t bytes) {
  if (!gaps_) return;
  // One that ends inside a word is filled up with zeros: those of the gap, which begins behind that word.
  const WordRange piece{target, bytes};
  if (kernel_.load() != nullptr) {
    sum(stream, piece);
    return;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  early_.push_back(piece);
}

void StreamedChecksum::sum(cu::CUstream stream, WordRange piece) {
  launch_checksum(kernel_, plan_.device, stream, plan_.base + piece.offset, piece.bytes,
                  piece.offset / kChecksumWord, sums_->pointer());
}

Checksum StreamedChecksum::finish() {
  if (preparing_.joinable()) preparing_.join();
  if (failure_) throw *failure_;
  if (kernel_.load() == nullptr) return device_checksum(plan_.device, plan_.base, bytes_);
  const ContextScope scope(plan_.device);
  const Stream stream(plan_.device, cu::CU_STREAM_NON_BLOCKING);
  for (const WordRange& piece : early_) sum(stream.get(), piece);
  for (const WordRange& gap : *gaps_) sum(stream.get(), gap);
  return finished(sums_->read(stream.get()), bytes_);
}

}  // namespace cuda_ipc
