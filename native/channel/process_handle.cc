#include "channel/process_handle.h"

#include <poll.h>
#include <sys/syscall.h>

#include "channel/errors.h"
#include "channel/proc.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

namespace cuda_ipc {

namespace {

// A pid is reused while we look at most once in a long while; a second time in a row never.
constexpr int kAttempts = 3;

Error unproven(pid_t pid, const std::string& why) {
  return Error(
      "ERR_CUDA_IPC_PEER_UNPROVEN",
      "The death of process " + std::to_string(pid) + " could not be proven: " + why +
          ". Run both processes in one PID namespace, on Linux 5.3 or newer, with pidfd_open allowed");
}

}  // namespace

ProcessHandle ProcessHandle::duplicate() const {
  return {pid, start_time, pidfd ? pidfd.duplicate() : Fd(), gone};
}

bool is_alive(const Fd& pidfd) {
  pollfd poll{pidfd.get(), POLLIN, 0};
  int ready;
  do {
    ready = ::poll(&poll, 1, 0);  // a signal ends it early, although it does not wait
  } while (ready < 0 && errno == EINTR);
  return ready == 0;
}

ProcessHandle open_process(pid_t pid) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::string before = facts_of(pid).start_time;
    Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd) {
      if (errno == ESRCH) return {pid, "", Fd(), true};
      if (is_fd_limit(errno)) throw channel_error(errno, "watching process " + std::to_string(pid));
      throw unproven(pid, channel_error(errno, "calling pidfd_open").what());
    }
    if (before == facts_of(pid).start_time) return {pid, before, std::move(pidfd), false};
  }
  throw unproven(pid, "its pid was reused while it was opened");
}

}  // namespace cuda_ipc
