// Whether the process has begun to exit.
#include <atomic>

#include "driver/driver.h"

namespace cuda_ipc {

namespace {

std::atomic<bool> exiting{false};

// For a process in which the driver never came up; driver.cc adds an exit handler that runs before the
// driver's.
__attribute__((destructor)) void note_unloading() {
  note_process_exiting();
}

}  // namespace

void note_process_exiting() {
  exiting.store(true, std::memory_order_relaxed);
}

bool process_is_exiting() {
  return exiting.load(std::memory_order_relaxed);
}

}  // namespace cuda_ipc
