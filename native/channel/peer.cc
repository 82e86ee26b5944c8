#include "channel/peer.h"

#include <sys/socket.h>

#include "channel/errors.h"
#include "channel/proc.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace cuda_ipc {

namespace {

ProcessHandle hold(int socket, pid_t pid) {
  int pidfd = -1;
  socklen_t length = sizeof pidfd;
  // The kernel noted the peer itself when the connection was made, so this one cannot be about another
  // process.
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) == 0)
    return {pid, "", Fd(pidfd), false};
  if (is_fd_limit(errno)) throw channel_error(errno, "identifying the peer of a connection");
  if (errno == ENOPROTOOPT && pid != 0) {  // before Linux 6.5
    try {
      return open_process(pid);
    } catch (const Error& error) {
      if (error.code() != "ERR_CUDA_IPC_PEER_UNPROVEN") throw;
      return {pid, "", Fd(), false};
    }
  }
  // Kernels before 6.16 give no pidfd of a process that was waited for already.
  const bool gone = pid != 0 && (errno == ESRCH || errno == EINVAL);
  return {pid, "", Fd(), gone};
}

}  // namespace

Peer read_peer(int socket) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
    throw channel_error(errno, "identifying the peer of a connection");
  Peer peer;
  peer.uid = credentials.uid;
  peer.gid = credentials.gid;
  peer.process = hold(socket, credentials.pid);
  return peer;
}

void describe_peer(Peer& peer) {
  const ProcessHandle& process = peer.process;
  if (process.pid == 0 || process.gone) return;
  ProcessFacts facts = facts_of(process.pid);
  // Alive after the look: the pid was not another process's meanwhile.
  if (process.pidfd && !is_alive(process.pidfd)) return;
  peer.process.start_time = std::move(facts.start_time);
  peer.command = std::move(facts.command);
}

}  // namespace cuda_ipc
