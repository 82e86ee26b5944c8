// The threads that share the chunks of a plan among them.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "driver/error.h"
#include "transfer/load.h"
#include "transfer/plan.h"

namespace cuda_ipc {

// The chunk_bytes that the runs and threads of a plan repay: less than usual where a thread would have few
// chunks, and some of them one more than others.
size_t repaid_chunk_bytes(const LoadPlan& plan);

class ChunkReaders {
 public:
  // Opens the sources. Throws Error: see Chunks and open_source().
  ChunkReaders(const LoadPlan& plan, LoadObserver& observer);

  // Runs `work` on as many threads as the plan repays, this one among them, and returns how many those were.
  // The first failure, or being cancelled, ends all of them and is thrown.
  unsigned run(const std::function<void()>& work);

  // Neighbouring chunks that one thread has to itself, and takes one after the other.
  class Claim {
   public:
    bool empty() const { return next_ == end_; }

   private:
    friend ChunkReaders;
    size_t next_ = 0;
    size_t end_ = 0;
  };

  // For `work`, with a claim of each thread's own: a chunk that no other thread has; nothing when none is
  // left.
  std::optional<LoadRun> next(Claim& claim);
  // Reads it, see Source::read().
  const unsigned char* read(const LoadRun& chunk, unsigned char* staging) const;
  // How large that staging must be.
  size_t staging_bytes() const { return chunks_.largest(); }
  size_t total_bytes() const { return chunks_.total_bytes(); }

 private:
  unsigned threads_wanted() const;
  Claim take_claim();
  void guard(const std::function<void()>& work) noexcept;
  void fail(const Error& error);

  const LoadPlan& plan_;
  LoadObserver& observer_;
  const Chunks chunks_;
  std::vector<std::unique_ptr<Source>> sources_;
  size_t large_claims_ = 0;
  std::atomic<size_t> next_claim_{0};
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::optional<Error> error_;
};

}  // namespace cuda_ipc
