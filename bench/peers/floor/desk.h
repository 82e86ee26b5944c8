// Where an importer asks for its ticket over a Unix socket, as a worker asks an owner, but with no ledger
// behind it.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <string>

#include "floor/ticket.h"

namespace floor_program {

// About as long as a hello and a request for an attach.
struct Request {
  char bytes[512] = {};
};

// An abstract address: it ends with its socket.
inline socklen_t desk_address(pid_t exporter, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  const std::string name = "cuda-ipc-floor-" + std::to_string(exporter);
  name.copy(address->sun_path + 1, sizeof(address->sun_path) - 1);
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
}

// Sleeps until somebody connects or asks, and answers, until `end` has something to read or ends.
inline void answer_requests(int end, const Ticket& ticket) {
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address;
  const socklen_t size = desk_address(::getpid(), &address);
  require(::bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0, "bind");
  require(::listen(listener, 8) == 0, "listen");
  send_token(end);
  int asker = -1;
  for (;;) {
    pollfd ready[] = {{end, POLLIN, 0}, {listener, POLLIN, 0}, {asker, POLLIN, 0}};
    require(::poll(ready, 3, -1) > 0, "poll");
    if (ready[0].revents != 0) return;
    if (ready[1].revents != 0) {
      if (asker >= 0) ::close(asker);
      asker = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      require(asker >= 0, "accept4");
    } else if (ready[2].revents != 0) {
      Request request;
      if (::recv(asker, &request, sizeof(request), MSG_WAITALL) == static_cast<ssize_t>(sizeof(request))) {
        send_ticket(asker, ticket);
      } else {
        ::close(asker);
        asker = -1;
      }
    }
  }
}

// An importer's connection to the desk, made with its first request.
class Desk {
 public:
  explicit Desk(pid_t exporter) : exporter_(exporter) {}
  Desk(const Desk&) = delete;
  Desk& operator=(const Desk&) = delete;
  ~Desk() {
    if (socket_ >= 0) ::close(socket_);
  }

  Ticket ask() {
    if (socket_ < 0) connect();
    const Request request;
    require(::send(socket_, &request, sizeof(request), MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof(request)),
            "send");
    return receive_ticket(socket_);
  }

 private:
  void connect() {
    socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    require(socket_ >= 0, "socket");
    sockaddr_un address;
    const socklen_t size = desk_address(exporter_, &address);
    require(::connect(socket_, reinterpret_cast<sockaddr*>(&address), size) == 0, "connect");
  }

  const pid_t exporter_;
  int socket_ = -1;
};

}  // namespace floor_program
