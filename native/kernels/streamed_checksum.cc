#include "kernels/streamed_checksum.h"

#include <system_error>

#include "driver/driver.h"
#include "kernels/builtin.h"
#include "transfer/stream.h"

namespace cuda_ipc {

namespace {

// A launch for each gap: with more of them, one pass over everything is quicker.
constexpr size_t kMostGaps = 64;
constexpr size_t kWord = 8;

size_t round_up_to_word(size_t bytes) {
  return (bytes + kWord - 1) / kWord * kWord;
}

}  // namespace

StreamedChecksum::StreamedChecksum(const LoadPlan& plan, size_t bytes)
    : plan_(plan), bytes_(bytes), streamed_(plan_pieces()) {
  if (!streamed_) return;
  {
    const ContextScope scope(plan_.device);
    require_device_memory(plan_.base, bytes_);
    sums_.emplace(plan_.device, sizeof(ChecksumSums));
    const Stream stream(plan_.device, cu::CU_STREAM_NON_BLOCKING);
    CUDA_IPC_CHECK(cuMemsetD8Async(sums_->pointer(), 0, sizeof(ChecksumSums), stream.get()));
    CUDA_IPC_CHECK(cuStreamSynchronize(stream.get()));
  }
  try {
    preparing_ = std::thread([this] { prepare(); });
  } catch (const std::system_error&) {  // no more threads
    prepare();
  }
}

StreamedChecksum::~StreamedChecksum() {
  if (preparing_.joinable()) preparing_.join();
}

// Finds the gaps. False where the runs cannot be summed as they land.
bool StreamedChecksum::plan_pieces() {
  if (bytes_ == 0 || plan_.chunk_bytes % kWord != 0) return false;
  size_t covered = 0;
  for (const LoadRun& run : plan_.runs) {
    if (run.bytes == 0) continue;
    if (run.target % kWord != 0 || run.target < covered || run.target + run.bytes > bytes_) return false;
    if (run.target > covered) gaps_.push_back({covered, run.target - covered});
    if (gaps_.size() > kMostGaps) return false;
    // A piece that ends inside a word counts as that word, filled up with zeros: the gap's, which begins
    // behind it.
    covered = round_up_to_word(run.target + run.bytes);
  }
  if (covered < bytes_) gaps_.push_back({covered, bytes_ - covered});
  return true;
}

void StreamedChecksum::prepare() noexcept {
  try {
    const ContextScope scope(plan_.device);
    kernel_ = builtin_kernels(plan_.device).function("cuda_ipc_checksum");
  } catch (const Error& error) {
    failure_.emplace(error);
  } catch (const std::exception& error) {
    failure_.emplace(Error("ERR_CUDA_IPC_INTERNAL", error.what()));
  }
}

void StreamedChecksum::landing(cu::CUstream stream, size_t target, size_t bytes) {
  if (!streamed_) return;
  const Piece piece{target, bytes};
  if (kernel_.load() != nullptr) {
    sum(stream, piece);
    return;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  early_.push_back(piece);
}

void StreamedChecksum::sum(cu::CUstream stream, Piece piece) {
  launch_checksum(kernel_, plan_.device, stream, plan_.base + piece.target, piece.bytes, piece.target / kWord,
                  sums_->pointer());
}

Checksum StreamedChecksum::finish() {
  if (!streamed_) return device_checksum(plan_.device, plan_.base, bytes_);
  if (preparing_.joinable()) preparing_.join();
  if (failure_) throw *failure_;
  const ContextScope scope(plan_.device);
  const Stream stream(plan_.device, cu::CU_STREAM_NON_BLOCKING);
  for (const Piece& piece : early_) sum(stream.get(), piece);
  for (const Piece& gap : gaps_) sum(stream.get(), gap);
  ChecksumSums sums;
  CUDA_IPC_CHECK(cuMemcpyDtoHAsync(&sums, sums_->pointer(), sizeof(sums), stream.get()));
  CUDA_IPC_CHECK(cuStreamSynchronize(stream.get()));
  return finished(sums, bytes_);
}

}  // namespace cuda_ipc
