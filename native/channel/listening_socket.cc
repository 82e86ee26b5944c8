#include "channel/listening_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

namespace cuda_ipc {

namespace {

std::optional<int> option(int fd, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(fd, SOL_SOCKET, name, &value, &size) != 0) return std::nullopt;
  return value;
}

}  // namespace

std::optional<std::string> listening_path(int fd) {
  if (option(fd, SO_ACCEPTCONN) != 1) return std::nullopt;
  if (option(fd, SO_DOMAIN) != AF_UNIX || option(fd, SO_TYPE) != SOCK_STREAM) return std::string();
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return std::string();
  if (size <= offsetof(sockaddr_un, sun_path)) return std::string();
  // An abstract name begins with a NUL, and so is empty here.
  const size_t most = size - offsetof(sockaddr_un, sun_path);
  return std::string(address.sun_path, ::strnlen(address.sun_path, most));
}

}  // namespace cuda_ipc
