#include "transfer/load.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "transfer/staging_ring.h"

namespace cuda_ipc {

namespace {

// More readers than this gain nothing on a PCIe 5 bus; with fewer than two, reads and copies take turns.
constexpr unsigned kMostThreads = 10;
constexpr unsigned kLeastThreads = 2;

class Load {
 public:
  Load(const LoadPlan& plan, LoadObserver& observer) : plan_(plan), observer_(observer), chunks_(plan) {
    for (size_t i = 0; i < plan.sources.size(); ++i)
      sources_.push_back(open_source(plan.sources[i], chunks_.needed()[i], plan.access));
  }

  LoadResult run() {
    const auto start = std::chrono::steady_clock::now();
    const unsigned threads = run_readers(threads_wanted());
    if (error_) throw *error_;
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    return {chunks_.total_bytes(), seconds.count(), staging_bytes_, threads};
  }

 private:
  // A thread repays its start and its pinned memory from a few chunks on.
  unsigned threads_wanted() const {
    const unsigned of_machine = std::clamp(std::thread::hardware_concurrency(), kLeastThreads, kMostThreads);
    const unsigned allowed = plan_.threads != 0 ? plan_.threads : of_machine;
    return static_cast<unsigned>(
        std::clamp<size_t>(chunks_.total_bytes() / plan_.chunk_bytes, 1, std::max(allowed, 1u)));
  }

  // This thread is one of them. Fewer where the system gives no more threads.
  unsigned run_readers(unsigned wanted) {
    std::vector<std::thread> helpers;
    helpers.reserve(wanted);
    try {
      while (helpers.size() + 1 < wanted) helpers.emplace_back([this] { read(); });
    } catch (const std::system_error&) {
    }
    read();
    for (std::thread& helper : helpers) helper.join();
    return static_cast<unsigned>(helpers.size()) + 1;
  }

  void read() noexcept {
    try {
      read_chunks();
    } catch (const Error& error) {
      fail(error);
    } catch (const std::exception& error) {
      fail(Error("ERR_CUDA_IPC_INTERNAL", error.what()));
    }
  }

  void read_chunks() {
    const ContextScope scope(plan_.device);
    StagingRing ring(plan_.device, chunks_.largest(), [this](size_t bytes) { observer_.arrived(bytes); });
    for (size_t index; !stopped() && (index = next_.fetch_add(1)) < chunks_.count();) {
      const LoadRun part = chunks_.at(index);
      auto chunk = ring.take();
      const Staging staging{chunk->memory.data(), chunks_.largest()};
      const unsigned char* from = sources_[part.source]->read(part.offset, part.bytes, staging);
      ring.copy(std::move(chunk), from, plan_.base + part.target, part.bytes);
      observer_.landing(ring.stream(), part.target, part.bytes);
    }
    ring.drain();
    staging_bytes_ += ring.pinned_bytes();
  }

  bool stopped() {
    if (!stop_ && observer_.cancelled())
      fail(Error("ERR_CUDA_IPC_ABORTED", "The load was aborted before it was complete."));
    return stop_;
  }

  void fail(const Error& error) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!error_) error_.emplace(error);
    stop_ = true;
  }

  const LoadPlan& plan_;
  LoadObserver& observer_;
  const Chunks chunks_;
  std::vector<std::unique_ptr<Source>> sources_;
  std::atomic<size_t> next_{0};
  std::atomic<size_t> staging_bytes_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::optional<Error> error_;
};

}  // namespace

LoadResult load(const LoadPlan& plan, LoadObserver& observer) {
  return Load(plan, observer).run();
}

}  // namespace cuda_ipc
