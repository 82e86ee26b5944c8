#include "driver/host/machine_lock.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cinttypes>
#include <cstddef>
#include <cstdio>

namespace cuda_ipc::host {
namespace {

// The threads of one process queue here, not at the socket.
std::mutex& local_mutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}

// The holder never accepts: the connection ends when the holder lets go of its listener, or dies.
void wait_for_holder(const sockaddr* name, socklen_t length) {
  const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return;
  char byte;
  if (connect(fd.get(), name, length) == 0 && read(fd.get(), &byte, 1) < 0) return;
}

}  // namespace

MachineLock::MachineLock(uint64_t scope) : local_(local_mutex()) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const int written = std::snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
                                    "cuda-ipc-host-lock/%016" PRIx64, scope);
  const auto length =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<size_t>(written));
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  for (;;) {
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) return;
    if (bind(fd.get(), name, length) == 0) {
      if (listen(fd.get(), SOMAXCONN) == 0) listener_ = std::move(fd);
      return;
    }
    if (errno != EADDRINUSE) return;
    wait_for_holder(name, length);
  }
}

}  // namespace cuda_ipc::host
