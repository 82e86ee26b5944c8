#include "channel/reactor.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <csignal>
#include <exception>
#include <thread>

#include "channel/errors.h"

namespace cuda_ipc {

namespace {

constexpr Reactor::Id kWakeId = 0;
constexpr int kMostEvents = 64;

// Whether this thread is the one that serves.
thread_local bool serving = false;

epoll_event event_of(uint32_t events, Reactor::Id id) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  return event;
}

}  // namespace

Reactor& Reactor::instance() {
  static std::mutex* const mutex = new std::mutex;
  static Reactor* reactor = nullptr;
  std::lock_guard<std::mutex> lock(*mutex);
  if (reactor == nullptr) reactor = start();
  return *reactor;
}

Reactor* Reactor::start() {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) throw channel_error(errno, "starting the socket thread", "ERR_CUDA_IPC_SYSTEM");
  Fd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event event = event_of(EPOLLIN, kWakeId);
  if (!wake || ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0)
    throw channel_error(errno, "starting the socket thread", "ERR_CUDA_IPC_SYSTEM");
  std::unique_ptr<Reactor> reactor(new Reactor(std::move(epoll), std::move(wake)));
  try {
    reactor->start_thread();
  } catch (const std::exception&) {  // no more threads, or no memory for one
    throw channel_error(EAGAIN, "starting the socket thread", "ERR_CUDA_IPC_SYSTEM");
  }
  return reactor.release();
}

void Reactor::start_thread() {
  // The thread inherits an empty set of signals: handlers of the application run on its own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([this] { take_turns(); }).detach();
  } catch (const std::exception&) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  std::lock_guard<std::mutex> lock(turns_mutex_);
  ++threads_;
}

Reactor::Id Reactor::add(int fd, uint32_t events, std::shared_ptr<Pollable> pollable) {
  std::lock_guard<std::mutex> lock(mutex_);
  const Id id = ++last_id_;
  epoll_event event = event_of(events, id);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    throw channel_error(errno, "watching a descriptor", "ERR_CUDA_IPC_SYSTEM");
  pollables_.emplace(id, std::move(pollable));
  return id;
}

void Reactor::modify(Id id, int fd, uint32_t events) {
  epoll_event event = event_of(events, id);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0)
    throw channel_error(errno, "watching a descriptor", "ERR_CUDA_IPC_SYSTEM");
}

void Reactor::remove(Id id, int fd) {
  std::shared_ptr<Pollable> last;  // destroyed after the lock is let go
  std::lock_guard<std::mutex> lock(mutex_);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  const auto found = pollables_.find(id);
  if (found == pollables_.end()) return;
  last = std::move(found->second);
  pollables_.erase(found);
}

void Reactor::after(std::chrono::milliseconds delay, std::function<void()> task) {
  const Clock::time_point due = Clock::now() + delay;
  std::lock_guard<std::mutex> lock(mutex_);
  const bool first = timers_.empty() || due < timers_.begin()->first;
  timers_.emplace(due, std::move(task));
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the thread wakes anyway.
  if (first && ::write(wake_.get(), &one, sizeof one) < 0) return;
}

int Reactor::next_timeout() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (timers_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - Clock::now());
  return left.count() <= 0 ? 0 : static_cast<int>(left.count());
}

void Reactor::run_due_timers() {
  // Only those due now: a task that sets a timer with no delay must not starve the sockets.
  const Clock::time_point now = Clock::now();
  for (;;) {
    std::function<void()> task;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (timers_.empty() || timers_.begin()->first > now) return;
      task = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
    }
    task();
  }
}

bool Reactor::run_here(std::function<void()> task) {
  if (!serving || !tasks_.empty()) return false;
  std::lock_guard<std::mutex> lock(turns_mutex_);
  if (waiting_ == 0) return false;
  tasks_.push_back(std::move(task));
  return true;
}

void Reactor::want_relief() {
  {
    std::lock_guard<std::mutex> lock(turns_mutex_);
    if (threads_ > 1) return;
  }
  try {
    start_thread();
  } catch (const std::exception&) {
  }
}

void Reactor::take_turns() {
  pthread_setname_np(pthread_self(), "cuda-ipc-epoll");
  for (;;) {
    {
      std::unique_lock<std::mutex> lock(turns_mutex_);
      ++waiting_;
      turn_came_.wait(lock, [this] { return !served_; });
      --waiting_;
      served_ = true;
    }
    serve();
  }
}

// Until there is something else to do, for which it hands over.
void Reactor::serve() {
  serving = true;
  std::vector<std::function<void()>> tasks;
  while (tasks.empty()) {
    turn();
    tasks.swap(tasks_);
  }
  serving = false;
  {
    std::lock_guard<std::mutex> lock(turns_mutex_);
    served_ = false;
  }
  turn_came_.notify_one();
  for (const auto& task : tasks) task();
}

void Reactor::turn() {
  epoll_event events[kMostEvents];
  const int count = ::epoll_wait(epoll_.get(), events, kMostEvents, next_timeout());
  const Clock::time_point at = Clock::now();
  for (int i = 0; i < count; ++i) {
    const Id id = events[i].data.u64;
    if (id == kWakeId) {
      uint64_t wakes;
      while (::read(wake_.get(), &wakes, sizeof wakes) > 0) continue;
      continue;
    }
    std::shared_ptr<Pollable> pollable;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      const auto found = pollables_.find(id);
      if (found != pollables_.end()) pollable = found->second;
    }
    if (pollable) pollable->on_ready(events[i].events, at);
  }
  run_due_timers();
}

}  // namespace cuda_ipc
