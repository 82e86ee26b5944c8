// Who is at the other end of a socket.
#pragma once

#include <sys/types.h>

#include <string>

#include "channel/process_handle.h"

namespace cuda_ipc {

struct Peer {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string command;
  // Taken at once, while the pid still names it. The pid is 0 when the peer is not visible in this PID
  // namespace.
  ProcessHandle process;
};

// Throws Error (ERR_CUDA_IPC_FD_LIMIT) when no descriptor is left to hold the peer with.
Peer read_peer(int socket);

}  // namespace cuda_ipc
