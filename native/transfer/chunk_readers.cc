#include "transfer/chunk_readers.h"

#include <algorithm>
#include <system_error>
#include <thread>

namespace cuda_ipc {

namespace {

// More readers than this gain nothing on a PCIe 5 bus; with fewer than two, reads and copies take turns.
constexpr unsigned kMostThreads = 10;
constexpr unsigned kLeastThreads = 2;

}  // namespace

ChunkReaders::ChunkReaders(const LoadPlan& plan, LoadObserver& observer)
    : plan_(plan), observer_(observer), chunks_(plan) {
  for (size_t i = 0; i < plan.sources.size(); ++i)
    sources_.push_back(open_source(plan.sources[i], chunks_.needed()[i], plan.access));
}

unsigned ChunkReaders::run(const std::function<void()>& work) {
  const unsigned wanted = threads_wanted();
  std::vector<std::thread> helpers;
  helpers.reserve(wanted);
  try {
    while (helpers.size() + 1 < wanted) helpers.emplace_back([&] { guard(work); });
  } catch (const std::exception&) {  // fewer where the system gives no more threads
  }
  guard(work);
  for (std::thread& helper : helpers) helper.join();
  if (error_) throw *error_;
  return static_cast<unsigned>(helpers.size()) + 1;
}

std::optional<LoadRun> ChunkReaders::next() {
  if (!stopped_ && observer_.cancelled())
    fail(Error("ERR_CUDA_IPC_ABORTED", "The load was aborted before it was complete."));
  if (stopped_) return std::nullopt;
  const size_t index = next_.fetch_add(1);
  if (index >= chunks_.count()) return std::nullopt;
  return chunks_.at(index);
}

const unsigned char* ChunkReaders::read(const LoadRun& chunk, unsigned char* staging) const {
  return sources_[chunk.source]->read(chunk.offset, chunk.bytes, {staging, chunks_.largest()});
}

// A thread repays its start and its pinned memory from a few chunks on.
unsigned ChunkReaders::threads_wanted() const {
  const unsigned of_machine = std::clamp(std::thread::hardware_concurrency(), kLeastThreads, kMostThreads);
  const unsigned allowed = plan_.threads != 0 ? plan_.threads : of_machine;
  return static_cast<unsigned>(
      std::clamp<size_t>(chunks_.total_bytes() / plan_.chunk_bytes, 1, std::max(allowed, 1u)));
}

void ChunkReaders::guard(const std::function<void()>& work) noexcept {
  try {
    work();
  } catch (const Error& error) {
    fail(error);
  } catch (const std::exception& error) {
    fail(Error("ERR_CUDA_IPC_INTERNAL", error.what()));
  }
}

void ChunkReaders::fail(const Error& error) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_) error_.emplace(error);
  stopped_ = true;
}

}  // namespace cuda_ipc
