#include "driver/host/exit_gate.h"

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>

namespace cuda_ipc::host {
namespace {

struct Gate {
  std::mutex mutex;
  std::condition_variable idle;
  unsigned running = 0;
  std::atomic<bool> closed{false};
};

Gate& gate() {
  static auto* the_gate = new Gate;
  return *the_gate;
}

void close_gate() {
  std::unique_lock<std::mutex> lock(gate().mutex);
  gate().closed = true;
  gate().idle.wait(lock, [] { return gate().running == 0; });
}

}  // namespace

void close_gate_at_exit() {
  static const int registered = std::atexit(close_gate);
  (void)registered;
}

bool gate_is_closed() {
  return gate().closed;
}

RunPermit::RunPermit() {
  const std::lock_guard<std::mutex> lock(gate().mutex);
  granted_ = !gate().closed;
  if (granted_) gate().running++;
}

RunPermit::~RunPermit() {
  if (!granted_) return;
  const std::lock_guard<std::mutex> lock(gate().mutex);
  if (--gate().running == 0 && gate().closed) gate().idle.notify_all();
}

}  // namespace cuda_ipc::host
