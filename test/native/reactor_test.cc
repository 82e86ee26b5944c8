// Work on the thread that serves the sockets, which another one serves meanwhile.
#include "channel/reactor.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "check.h"

namespace {

using namespace cuda_ipc;

// Happens once. Held by all who touch it: who waits for it may be gone before set() has returned.
class Happening {
 public:
  void set() {
    std::lock_guard<std::mutex> lock(mutex_);
    happened_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return happened_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool happened_ = false;
};

// Calls `handle` on the reactor's thread, once for each ring().
class Bell : public Pollable, public std::enable_shared_from_this<Bell> {
 public:
  explicit Bell(std::function<void()> handle)
      : handle_(std::move(handle)), fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  void hang() { id_ = Reactor::instance().add(fd_.get(), EPOLLIN, shared_from_this()); }
  void take_down() { Reactor::instance().remove(id_, fd_.get()); }
  void ring() {
    const uint64_t one = 1;
    CHECK(::write(fd_.get(), &one, sizeof one) == sizeof one);
  }
  void on_ready(uint32_t, Clock::time_point) override {
    uint64_t rings;
    CHECK(::read(fd_.get(), &rings, sizeof rings) == sizeof rings);
    handle_();
  }

 private:
  std::function<void()> handle_;
  Fd fd_;
  Reactor::Id id_ = 0;
};

// What `body` says on the reactor's thread.
bool in_handler(const std::function<bool()>& body) {
  const auto done = std::make_shared<Happening>();
  const auto result = std::make_shared<bool>();
  const auto bell = std::make_shared<Bell>([=] {
    *result = body();
    done->set();
  });
  bell->hang();
  bell->ring();
  done->wait();
  bell->take_down();
  return *result;
}

void nothing_runs_where_nobody_serves_meanwhile() {
  CHECK(!Reactor::instance().run_here([] { CHECK(false); }));
  CHECK(!in_handler([] { return Reactor::instance().run_here([] { CHECK(false); }); }));
}

// The thread is there some time after it was asked for.
void wait_for_relief() {
  Reactor::instance().want_relief();
  Reactor::instance().want_relief();
  const auto runs = [] { return Reactor::instance().run_here([] {}); };
  while (!in_handler(runs)) std::this_thread::yield();
}

void a_task_that_blocks_holds_no_socket_up() {
  for (int round = 0; round < 200; ++round) {
    wait_for_relief();
    const auto rung = std::make_shared<Happening>();
    const auto done = std::make_shared<Happening>();
    const auto other = std::make_shared<Bell>([=] { rung->set(); });
    other->hang();
    const bool taken = in_handler([=] {
      Reactor& reactor = Reactor::instance();
      const bool first = reactor.run_here([=, &reactor, handler = std::this_thread::get_id()] {
        CHECK(std::this_thread::get_id() == handler);
        CHECK(!reactor.run_here([] { CHECK(false); }));
        other->ring();
        rung->wait();  // for ever, unless somebody serves
        done->set();
      });
      CHECK(!first || !reactor.run_here([] { CHECK(false); }));
      return first;
    });
    if (taken) done->wait();  // else the last round's thread was not back yet
    other->take_down();
  }
}

void timers_go_on() {
  wait_for_relief();
  const auto due = std::make_shared<Happening>();
  const auto done = std::make_shared<Happening>();
  const bool taken = in_handler([=] {
    return Reactor::instance().run_here([=] {
      due->wait();
      done->set();
    });
  });
  Reactor::instance().after(std::chrono::milliseconds(1), [=] { due->set(); });
  if (taken) done->wait();
}

}  // namespace

int main() {
  nothing_runs_where_nobody_serves_meanwhile();
  a_task_that_blocks_holds_no_socket_up();
  timers_go_on();
}
