// Pinned memory that a load has left for the next one.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>

#include "transfer/pinned_memory.h"

namespace cuda_ipc {

// Safe to use from any thread. Lives as long as the process: its thread may still wait while that exits, and
// then calls nothing. A natively forked child does not get here, as the driver refuses it before.
class StagingStore {
 public:
  using Clock = std::chrono::steady_clock;

  // Keeps so many bytes at most, and none for longer than `idle_life` after it was given.
  StagingStore(size_t most_bytes, Clock::duration idle_life);
  ~StagingStore() = delete;
  StagingStore(const StagingStore&) = delete;
  StagingStore& operator=(const StagingStore&) = delete;

  // Locked memory of at least so many bytes, the smallest there is, of whatever device: it is portable. Null
  // when there is none; what is too small is let go of then, so that a load which has to lock memory finds as
  // much of it as if nothing were kept.
  std::unique_ptr<PinnedMemory> take(size_t bytes);

  // Keeps memory that no copy reads any more, if it is locked. The largest makes room: one load with large
  // chunks must not leave little for those that follow with more of smaller ones.
  void give(std::unique_ptr<PinnedMemory> memory) noexcept;

  // How much is kept.
  size_t bytes() const;
  // Waits until everything has been let go of for want of use.
  void wait_until_empty();

 private:
  struct Idle {
    std::unique_ptr<PinnedMemory> memory;
    Clock::time_point until;
  };
  using Kept = std::deque<Idle>;

  // With mutex_ held.
  Kept::iterator largest();  // of those the one that was given first
  Idle remove(Kept::iterator which);
  bool start_letting_go() noexcept;
  // The thread's: ends when nothing is kept.
  void let_go();

  const size_t most_bytes_;
  const Clock::duration idle_life_;
  mutable std::mutex mutex_;
  std::condition_variable let_go_of_all_;
  Kept kept_;  // first given first
  size_t bytes_ = 0;
  bool letting_go_ = false;  // the thread runs
};

// The process's own: keeps what one load by default uses, for some seconds.
StagingStore& staging_store();

}  // namespace cuda_ipc
