// One load on behalf of JavaScript: what keeps its memory and its callback, and what stops it.
#pragma once

#include <napi.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "addon/cancel.h"
#include "addon/environment.h"
#include "addon/lent_view.h"
#include "kernels/streamed_checksum.h"
#include "transfer/load.h"

namespace cuda_ipc {

class LoadJob final : public LoadObserver, public std::enable_shared_from_this<LoadJob> {
 public:
  LoadPlan plan;
  CancelFlag cancel;                              // or null
  Napi::FunctionReference on_progress;            // or empty; used and reset on the environment's thread only
  std::vector<std::shared_ptr<LentView>> memory;  // the plan's sources in memory
  size_t checksum_bytes = 0;                      // from the plan's base; 0: no checksum is asked for
  bool sources_only = false;                      // the checksum is of the sources; nothing is loaded

  // On the environment's thread: before the load, and after it has settled. From begin() on, teardown of the
  // environment cancels the load and waits for its end: the device memory it writes to is freed after that.
  void begin(Napi::Env env);
  void settle(Napi::Env env);
  // Gives the memory back where begin() was never reached.
  void take_back(Napi::Env env);

  // On the pool.
  struct Outcome {
    LoadResult result;
    std::optional<Checksum> checksum;
  };
  Outcome run();
  void end();  // nothing of the load is touched any more; called even when run() never was

  bool cancelled() const override;
  void arrived(size_t bytes) override;
  void landing(cu::CUstream stream, size_t target, size_t bytes) override;

 private:
  void post_progress();
  void stop_and_wait();

  using Clock = std::chrono::steady_clock;

  std::shared_ptr<Dispatcher> dispatcher_;
  Environment::Closers::iterator closer_;
  std::optional<StreamedChecksum> checksum_;  // while the load runs
  bool reports_ = false;
  std::atomic<size_t> bytes_{0};
  std::atomic<Clock::rep> next_report_{0};  // the first bytes are reported at once
  std::atomic<bool> report_posted_{false};
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
};

}  // namespace cuda_ipc
