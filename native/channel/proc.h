// What /proc says about a process.
#pragma once

#include <sys/types.h>

#include <string>

namespace cuda_ipc {

struct ProcessFacts {
  // Field 22 of /proc/PID/stat: clock ticks since boot at which the process started. With the pid it names
  // one process for as long as the machine is up.
  std::string start_time;
  std::string command;  // its name, for people
};

// One picture of a process. Both are "" when there is no such process, or it is not visible here. Throws
// Error (ERR_CUDA_IPC_FD_LIMIT) when no descriptor is left to look with: that says nothing about it.
ProcessFacts facts_of(pid_t pid);

}  // namespace cuda_ipc
