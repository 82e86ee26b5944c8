// What an importer needs to know, sent over a Unix socketpair with the slab's descriptor beside it.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "driver/types.h"

namespace floor_program {

struct Ticket {
  size_t bytes = 0;                       // of the slab, rounded up to the device's granularity
  cuda_ipc::cu::CUipcMemHandle handle{};  // ipc
  int fd = -1;                            // vmm; the receiver gets its own
};

inline void require(bool ok, const char* call) {
  if (ok) return;
  std::perror(call);
  std::exit(1);
}

inline void send_ticket(int socket, const Ticket& ticket) {
  iovec part{const_cast<Ticket*>(&ticket), sizeof(ticket)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (ticket.fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &ticket.fd, sizeof(int));
  }
  require(::sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof(ticket)), "sendmsg");
}

inline Ticket receive_ticket(int socket) {
  Ticket ticket;
  iovec part{&ticket, sizeof(ticket)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  require(::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL) == static_cast<ssize_t>(sizeof(ticket)),
          "recvmsg");
  ticket.fd = -1;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS)
    std::memcpy(&ticket.fd, CMSG_DATA(header), sizeof(int));
  return ticket;
}

// One byte each way: "I am ready", "you may end".
inline void send_token(int socket) {
  require(::send(socket, "+", 1, MSG_NOSIGNAL) == 1, "send");
}

// False at end-of-file.
inline bool receive_token(int socket) {
  char byte;
  return ::recv(socket, &byte, 1, 0) == 1;
}

}  // namespace floor_program
