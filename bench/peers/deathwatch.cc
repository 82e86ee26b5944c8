// Kills processes and says when their pidfds fire: one JSON line for each pid read from standard input.
// Waits in poll(2) alone, so that nothing but the kernel is in the measured time.
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "clock.h"

namespace {

[[noreturn]] void fail(const char* call) {
  std::perror(call);
  std::exit(1);
}

// By number: glibc has wrappers since 2.36 only.
int open_pidfd(pid_t pid) {
  const long fd = ::syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0) fail("pidfd_open");
  return static_cast<int>(fd);
}

void kill_and_wait(pid_t pid) {
  const int fd = open_pidfd(pid);
  const int64_t killed = peers::now();
  if (::kill(pid, SIGKILL) != 0) fail("kill");
  pollfd waiting{fd, POLLIN, 0};
  while (::poll(&waiting, 1, -1) < 0)
    if (errno != EINTR) fail("poll");
  const int64_t fired = peers::now();
  ::close(fd);
  std::printf("{\"pid\":%d,\"killedAt\":\"%lld\",\"firedAt\":\"%lld\"}\n", pid,
              static_cast<long long>(killed), static_cast<long long>(fired));
  std::fflush(stdout);
}

}  // namespace

int main() {
  int pid;
  while (std::scanf("%d", &pid) == 1) kill_and_wait(pid);
  return 0;
}
