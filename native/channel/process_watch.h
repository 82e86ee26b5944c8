// Hears of the death of one process through its pidfd.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "channel/process_handle.h"
#include "channel/reactor.h"

namespace cuda_ipc {

class ProcessWatch final : public Pollable, public std::enable_shared_from_this<ProcessWatch> {
 public:
  // `on_exit` is called once, on the reactor's thread, at once for a process that is dead already. Never
  // again after stop() has returned, but for a call that is under way. Throws Error when it cannot be
  // watched.
  static std::shared_ptr<ProcessWatch> start(ProcessHandle process, std::function<void()> on_exit);
  void stop();

  pid_t pid() const { return process_.pid; }
  const std::string& start_time() const { return process_.start_time; }
  // When epoll reported the death.
  std::optional<Clock::time_point> exited_at();

  void on_ready(uint32_t events, Clock::time_point at) override;

 private:
  ProcessWatch(ProcessHandle process, std::function<void()> on_exit)
      : process_(std::move(process)), on_exit_(std::move(on_exit)) {}
  void unwatch();  // under the lock

  std::mutex mutex_;
  ProcessHandle process_;
  std::function<void()> on_exit_;
  bool stopped_ = false;
  std::optional<Clock::time_point> exited_at_;
  Reactor::Id registration_ = 0;
};

}  // namespace cuda_ipc
