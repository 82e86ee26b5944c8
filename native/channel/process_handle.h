// A hold on one process that outlives the reuse of its pid.
#pragma once

#include <sys/types.h>

#include <string>

#include "memory/fd.h"

namespace cuda_ipc {

struct ProcessHandle {
  pid_t pid = 0;
  std::string start_time;
  Fd pidfd;           // none: the process is gone, or its death could not be proven
  bool gone = false;  // it is known to be dead, and nothing is left of it to watch

  bool proven() const { return gone || static_cast<bool>(pidfd); }
  ProcessHandle duplicate() const;
};

// pidfd_open, with the start time read before and after: both reads name the process that the pidfd holds.
// Throws Error: ERR_CUDA_IPC_PEER_UNPROVEN when the system gives no pidfd, ERR_CUDA_IPC_FD_LIMIT.
ProcessHandle open_process(pid_t pid);

// False once the process is dead, whether its parent has waited for it or not.
bool is_alive(const Fd& pidfd);

}  // namespace cuda_ipc
