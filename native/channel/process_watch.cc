#include "channel/process_watch.h"

#include <sys/epoll.h>

namespace cuda_ipc {

std::shared_ptr<ProcessWatch> ProcessWatch::start(ProcessHandle process, std::function<void()> on_exit) {
  std::shared_ptr<ProcessWatch> self(new ProcessWatch(std::move(process), std::move(on_exit)));
  Reactor& reactor = Reactor::instance();
  std::lock_guard<std::mutex> lock(self->mutex_);
  if (self->process_.gone)
    reactor.after(std::chrono::milliseconds(0), [self] { self->on_ready(EPOLLIN, Clock::now()); });
  else
    self->registration_ = reactor.add(self->process_.pidfd.get(), EPOLLIN, self);
  return self;
}

void ProcessWatch::stop() {
  std::lock_guard<std::mutex> lock(mutex_);
  stopped_ = true;
  unwatch();
}

std::optional<Clock::time_point> ProcessWatch::exited_at() {
  std::lock_guard<std::mutex> lock(mutex_);
  return exited_at_;
}

void ProcessWatch::on_ready(uint32_t, Clock::time_point at) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_ || exited_at_) return;
    exited_at_ = at;
    unwatch();
  }
  on_exit_();
}

void ProcessWatch::unwatch() {
  if (!process_.pidfd) return;
  Reactor::instance().remove(registration_, process_.pidfd.get());
  process_.pidfd.reset();
}

}  // namespace cuda_ipc
