#include "channel/pair.h"

#include <sys/socket.h>

#include "channel/errors.h"
#include "channel/message.h"
#include "channel/socket_option.h"

namespace cuda_ipc {

std::pair<std::shared_ptr<Channel>, Fd> make_channel_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
    throw channel_error(errno, "making a pair of sockets");
  Fd here(ends[0]);
  Fd there(ends[1]);
  Peer peer = read_peer(here.get());
  return {std::make_shared<Channel>(std::move(here), std::move(peer)), std::move(there)};
}

std::shared_ptr<Channel> adopt_channel(Fd socket) {
  if (socket_option(socket.get(), SO_DOMAIN) != AF_UNIX ||
      socket_option(socket.get(), SO_TYPE) != SOCK_STREAM)
    throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT",
                "Expected a connected SOCK_STREAM Unix socket for fd, but received descriptor " +
                    std::to_string(socket.get()) + ", which is something else");
  expect_descriptors_only(socket.get());
  Peer peer = read_peer(socket.get());
  return std::make_shared<Channel>(std::move(socket), std::move(peer));
}

}  // namespace cuda_ipc
