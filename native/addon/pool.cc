#include "addon/pool.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "driver/driver.h"

namespace cuda_ipc {

namespace {

constexpr auto kIdleLife = std::chrono::seconds(10);
constexpr size_t kMostThreads = 128;

struct Pool {
  std::mutex mutex;
  std::condition_variable ready;
  std::deque<std::function<void()>> tasks;
  size_t threads = 0;
  size_t idle = 0;
};

// Never destroyed: detached threads may still wait on it while the process exits.
Pool& pool() {
  static Pool* const instance = new Pool;
  return *instance;
}

void serve() {
  Pool& p = pool();
  std::unique_lock<std::mutex> lock(p.mutex);
  for (;;) {
    ++p.idle;
    const bool woken = p.ready.wait_for(lock, kIdleLife, [&] { return !p.tasks.empty(); });
    --p.idle;
    if (!woken) break;
    auto task = std::move(p.tasks.front());
    p.tasks.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what the task owned goes before the lock is taken again
    lock.lock();
  }
  --p.threads;
}

}  // namespace

void run_on_pool(std::function<void()> task) {
  if (process_is_exiting()) return;
  Pool& p = pool();
  std::unique_lock<std::mutex> lock(p.mutex);
  p.tasks.push_back(std::move(task));
  if (p.idle >= p.tasks.size() || p.threads >= kMostThreads) {
    lock.unlock();  // or the thread that wakes would wait for it at once
    p.ready.notify_one();
    return;
  }
  try {
    std::thread(serve).detach();
    ++p.threads;
  } catch (const std::exception&) {  // no more threads, or no memory for one
    if (p.threads != 0) return;
    task = std::move(p.tasks.back());
    p.tasks.pop_back();
    lock.unlock();  // what the task owned goes without the lock
    throw;
  }
}

}  // namespace cuda_ipc
