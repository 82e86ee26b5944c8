#include "channel/listening_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "channel/socket_option.h"

namespace cuda_ipc {

std::optional<std::string> listening_path(int fd) {
  if (socket_option(fd, SO_ACCEPTCONN) != 1) return std::nullopt;
  if (socket_option(fd, SO_DOMAIN) != AF_UNIX || socket_option(fd, SO_TYPE) != SOCK_STREAM)
    return std::string();
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return std::string();
  if (size <= offsetof(sockaddr_un, sun_path)) return std::string();
  // An abstract name begins with a NUL, and so is empty here.
  const size_t most = size - offsetof(sockaddr_un, sun_path);
  return std::string(address.sun_path, ::strnlen(address.sun_path, most));
}

}  // namespace cuda_ipc
