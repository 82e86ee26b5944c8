// Threads for blocking work: CUDA calls, file reads. Our own and not libuv's four, because a few
// synchronizes there would stall the application's file system and name lookups.
#pragma once

#include <functional>

namespace cuda_ipc {

// Runs `task` on a thread of the process-wide pool, which grows while every thread is busy and shrinks when
// idle. Tasks may block; tasks must not throw. After the process has begun to exit tasks are dropped.
void run_on_pool(std::function<void()> task);

}  // namespace cuda_ipc
