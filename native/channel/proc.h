// What /proc says about a process.
#pragma once

#include <sys/types.h>

#include <string>

namespace cuda_ipc {

// Field 22 of /proc/PID/stat: clock ticks since boot at which the process started. With the pid it names one
// process for as long as the machine is up. "" when there is no such process, or it is not visible here.
// Throws Error (ERR_CUDA_IPC_FD_LIMIT) when no descriptor is left to look with: that says nothing about it.
std::string start_time_of(pid_t pid);
// The name of its command, from /proc/PID/comm; "" and throws as above.
std::string command_of(pid_t pid);

}  // namespace cuda_ipc
