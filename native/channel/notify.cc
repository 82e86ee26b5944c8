#include "channel/notify.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "channel/errors.h"
#include "channel/message.h"
#include "channel/unix_address.h"

namespace cuda_ipc {

namespace {

constexpr const char* kCode = "ERR_CUDA_IPC_SERVICE_MANAGER";

struct Address {
  sockaddr_un name;
  socklen_t size;
};

Address address_of(const std::string& text) {
  if (text.empty() || text[0] != '@') return {unix_address(text), sizeof(sockaddr_un)};
  // The kernel takes an abstract name by its length, and a NUL in the '@''s place says that it is one.
  Address address{unix_address(text), static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + text.size())};
  address.name.sun_path[0] = '\0';
  return address;
}

}  // namespace

bool try_notify(const std::string& text, const uint8_t* bytes, size_t size, const int* fds, size_t fd_count) {
  const Address address = address_of(text);
  const std::string doing = "sending a notification to the service manager at " + text;
  if (fd_count > kMostFdsPerMessage)
    throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT", "Expected at most " + std::to_string(kMostFdsPerMessage) +
                                                     " descriptors for fds, but received " +
                                                     std::to_string(fd_count));
  // A socket for each: the manager may have made its own anew since the last one.
  const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) throw channel_error(errno, doing, kCode);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address.name), address.size) != 0)
    throw channel_error(errno, doing, kCode);
  if (send_message(socket.get(), bytes, size, fds, fd_count) >= 0) return true;
  // ETOOMANYREFS: descriptors of this user are on their way that nobody has taken out of their sockets yet.
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ETOOMANYREFS) return false;
  throw channel_error(errno, doing, kCode);
}

}  // namespace cuda_ipc
