// Asking the kernel about a socket.
#pragma once

#include <sys/socket.h>

#include <optional>

namespace cuda_ipc {

// Nothing when the descriptor is no socket, or not open.
inline std::optional<int> socket_option(int fd, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(fd, SOL_SOCKET, name, &value, &size) != 0) return std::nullopt;
  return value;
}

}  // namespace cuda_ipc
