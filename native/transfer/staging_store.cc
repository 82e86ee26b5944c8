#include "transfer/staging_store.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <optional>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace cuda_ipc {

namespace {

// Two chunks of 4 MiB for each of ten threads.
constexpr size_t kMostBytes = size_t{80} << 20;
constexpr auto kIdleLife = std::chrono::seconds(10);

// "0": each load unlocks what it has used, so that a program which looks for leaks finds none.
size_t most_bytes() {
  const char* const keep = std::getenv("CUDA_IPC_KEEP_STAGING");
  return keep != nullptr && std::string_view(keep) == "0" ? 0 : kMostBytes;
}

}  // namespace

StagingStore& staging_store() {
  static StagingStore* const instance = new StagingStore(most_bytes(), kIdleLife);
  return *instance;
}

StagingStore::StagingStore(size_t most_bytes, Clock::duration idle_life)
    : most_bytes_(most_bytes), idle_life_(idle_life) {}

// In all of these, memory is unlocked and unmapped outside the mutex: it takes 0.2 ms per MiB.

std::unique_ptr<PinnedMemory> StagingStore::take(size_t bytes) {
  Kept too_small;
  const std::lock_guard<std::mutex> lock(mutex_);
  auto best = kept_.end();
  for (auto it = kept_.begin(); it != kept_.end(); ++it)
    if (it->memory->bytes() >= bytes && (best == kept_.end() || it->memory->bytes() <= best->memory->bytes()))
      best = it;
  if (best != kept_.end()) return remove(best).memory;
  too_small.swap(kept_);
  bytes_ = 0;
  return nullptr;
}

void StagingStore::give(std::unique_ptr<PinnedMemory> memory) noexcept {
  if (!memory->locked()) return;
  std::vector<Idle> surplus;
  const std::lock_guard<std::mutex> lock(mutex_);
  try {
    surplus.reserve(kept_.size() + 1);
    kept_.push_back({std::move(memory), Clock::now() + idle_life_});
  } catch (const std::bad_alloc&) {
    return;
  }
  bytes_ += kept_.back().memory->mapped_bytes();
  // Without a thread nobody would let go of it.
  const bool keep = start_letting_go();
  while (!kept_.empty() && (!keep || bytes_ > most_bytes_)) surplus.push_back(remove(largest()));
}

size_t StagingStore::bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return bytes_;
}

void StagingStore::wait_until_empty() {
  std::unique_lock<std::mutex> lock(mutex_);
  let_go_of_all_.wait(lock, [this] { return !letting_go_; });
}

StagingStore::Kept::iterator StagingStore::largest() {
  return std::max_element(kept_.begin(), kept_.end(), [](const Idle& a, const Idle& b) {
    return a.memory->mapped_bytes() < b.memory->mapped_bytes();
  });
}

StagingStore::Idle StagingStore::remove(Kept::iterator which) {
  Idle idle = std::move(*which);
  kept_.erase(which);
  bytes_ -= idle.memory->mapped_bytes();
  return idle;
}

bool StagingStore::start_letting_go() noexcept {
  if (letting_go_) return true;
  try {
    std::thread([this] { let_go(); }).detach();
    letting_go_ = true;
  } catch (const std::exception&) {  // no more threads, or no memory for one
  }
  return letting_go_;
}

void StagingStore::let_go() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!kept_.empty()) {
    const Clock::time_point due = kept_.front().until;
    std::optional<Idle> idle;
    if (Clock::now() >= due) idle.emplace(remove(kept_.begin()));
    lock.unlock();
    if (!idle) std::this_thread::sleep_until(due);
    idle.reset();
    lock.lock();
  }
  letting_go_ = false;
  let_go_of_all_.notify_all();
}

}  // namespace cuda_ipc
