// The one epoll thread of the process at a time: readiness of every socket and pidfd, and timers.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "memory/fd.h"

namespace cuda_ipc {

// CLOCK_MONOTONIC: the time base of process.hrtime().
using Clock = std::chrono::steady_clock;

class Pollable {
 public:
  virtual ~Pollable() = default;
  // On the reactor's thread, without any lock held. `at` is when epoll reported.
  virtual void on_ready(uint32_t events, Clock::time_point at) = 0;
};

// Started by its first use and never stopped or destroyed: it may still run while the process exits.
class Reactor {
 public:
  // Throws Error when the thread or its descriptors cannot be had; a later call tries again.
  static Reactor& instance();

  // From any thread. Level-triggered; the reactor shares `pollable` until remove(). remove() does not wait: a
  // call of on_ready() may be under way, or follow that began before.
  using Id = uint64_t;
  Id add(int fd, uint32_t events, std::shared_ptr<Pollable> pollable);
  void modify(Id id, int fd, uint32_t events);
  void remove(Id id, int fd);

  // Runs `task` on the reactor's thread, once `delay` has passed.
  void after(std::chrono::milliseconds delay, std::function<void()> task);

  // Of on_ready(): has the task, which may block, run on this very thread when what epoll has reported is
  // handled. Another thread, which waits for that, serves the sockets meanwhile: waking it is not waited for,
  // as waking one for the task would be. False, and nothing done, when none waits, for a second task, or on
  // any other thread.
  bool run_here(std::function<void()> task);
  // Sees to it that there is a thread that waits. Without one there is still this one.
  void want_relief();

 private:
  Reactor(Fd epoll, Fd wake) : epoll_(std::move(epoll)), wake_(std::move(wake)) {}
  static Reactor* start();
  // Throws what std::thread does.
  void start_thread();
  // Of each thread: serves when it is its turn.
  void take_turns();
  void serve();
  void turn();
  void run_due_timers();
  int next_timeout();

  const Fd epoll_;
  const Fd wake_;  // an eventfd: a timer was added that is due before the others
  std::mutex mutex_;
  std::unordered_map<Id, std::shared_ptr<Pollable>> pollables_;
  std::multimap<Clock::time_point, std::function<void()>> timers_;
  std::mutex turns_mutex_;
  std::condition_variable turn_came_;
  bool served_ = false;  // by one of the threads
  int threads_ = 0;
  int waiting_ = 0;                           // for their turn
  std::vector<std::function<void()>> tasks_;  // of the thread that serves, for when it has handed that over
  Id last_id_ = 0;  // ids are never used twice, so an event of a removed descriptor finds nobody
};

}  // namespace cuda_ipc
