// Who is at the other end of a socket.
#pragma once

#include <sys/types.h>

#include <string>

#include "channel/process_handle.h"

namespace cuda_ipc {

struct Peer {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string command;  // see describe_peer()
  // Taken at once, while the pid still names it. The pid is 0 when the peer is not visible in this PID
  // namespace.
  ProcessHandle process;
};

// Both throw Error (ERR_CUDA_IPC_FD_LIMIT) when no descriptor is left: to hold the peer with, or to read
// /proc.
Peer read_peer(int socket);
// Fills in the command and the start time, unless the process has died. Later than at once only while its
// pidfd is held: without it the pid could be another process's by now.
void describe_peer(Peer& peer);

}  // namespace cuda_ipc
