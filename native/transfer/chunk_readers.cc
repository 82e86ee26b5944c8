#include "transfer/chunk_readers.h"

#include <algorithm>
#include <system_error>
#include <thread>

namespace cuda_ipc {

namespace {

// More readers than this gain nothing on a PCIe 5 bus; with fewer than two, reads and copies take turns.
constexpr unsigned kMostThreads = 10;
constexpr unsigned kLeastThreads = 2;
// What lies side by side and is copied by one thread is summed by one launch, see load(). More save little.
constexpr size_t kClaim = 4;
constexpr size_t kChunkOfFew = 2 << 20;
constexpr size_t kFew = 8;  // for each thread

unsigned most_threads(const LoadPlan& plan) {
  if (plan.threads != 0) return plan.threads;
  return std::clamp(std::thread::hardware_concurrency(), kLeastThreads, kMostThreads);
}

}  // namespace

size_t repaid_chunk_bytes(const LoadPlan& plan) {
  size_t bytes = 0;
  for (const LoadRun& run : plan.runs) bytes += run.bytes;
  const size_t usual = LoadPlan{}.chunk_bytes;
  return bytes / usual < kFew * most_threads(plan) ? kChunkOfFew : usual;
}

ChunkReaders::ChunkReaders(const LoadPlan& plan, LoadObserver& observer)
    : plan_(plan), observer_(observer), chunks_(plan) {
  for (size_t i = 0; i < plan.sources.size(); ++i)
    sources_.push_back(open_source(plan.sources[i], chunks_.needed()[i], plan.access));
}

unsigned ChunkReaders::run(const std::function<void()>& work) {
  const unsigned wanted = threads_wanted();
  // Single chunks at the end, so that all threads end together.
  large_claims_ = (chunks_.count() - std::min(chunks_.count(), kClaim * wanted)) / kClaim;
  std::vector<std::thread> helpers(wanted - 1);  // thread n is helpers[n - 1]; this one is 0
  // Each starts two more before it begins. Started one after the other, the last ones would be late: the
  // first page faults of those before hold the lock that a new thread's stack needs.
  const std::function<void(size_t)> begin = [&](size_t number) {
    try {
      for (size_t next = 2 * number + 1; next <= 2 * number + 2 && next < wanted; ++next)
        helpers[next - 1] = std::thread(std::cref(begin), next);
    } catch (const std::exception&) {  // fewer where the system gives no more threads
    }
    guard(work);
  };
  begin(0);
  unsigned threads = 1;
  // In this order a thread's starter has ended before it is looked at.
  for (std::thread& helper : helpers) {
    if (!helper.joinable()) continue;
    helper.join();
    ++threads;
  }
  if (error_) throw *error_;
  return threads;
}

std::optional<LoadRun> ChunkReaders::next(Claim& claim) {
  if (!stopped_ && observer_.cancelled())
    fail(Error("ERR_CUDA_IPC_ABORTED", "The load was aborted before it was complete."));
  if (stopped_) return std::nullopt;
  if (claim.empty()) claim = take_claim();
  if (claim.empty()) return std::nullopt;
  return chunks_.at(claim.next_++);
}

ChunkReaders::Claim ChunkReaders::take_claim() {
  const size_t number = next_claim_.fetch_add(1);
  const bool large = number < large_claims_;
  const size_t begin = large ? number * kClaim : number + large_claims_ * (kClaim - 1);
  Claim claim;
  claim.next_ = std::min(begin, chunks_.count());
  claim.end_ = std::min(begin + (large ? kClaim : 1), chunks_.count());
  return claim;
}

const unsigned char* ChunkReaders::read(const LoadRun& chunk, unsigned char* staging) const {
  return sources_[chunk.source]->read(chunk.offset, chunk.bytes, {staging, chunks_.largest()});
}

// A thread repays its start and its pinned memory from a few chunks on.
unsigned ChunkReaders::threads_wanted() const {
  return static_cast<unsigned>(
      std::clamp<size_t>(chunks_.total_bytes() / plan_.chunk_bytes, 1, most_threads(plan_)));
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
