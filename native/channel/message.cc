#include "channel/message.h"

#include <sys/socket.h>

#include <cstring>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

namespace cuda_ipc {

namespace {

union Control {
  cmsghdr header;  // for its alignment
  char bytes[CMSG_SPACE(kMostFdsPerMessage * sizeof(int))];
};

std::vector<Fd> take_fds(msghdr& message) {
  std::vector<Fd> fds;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    fds.reserve(fds.size() + count);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

ssize_t send_message(int socket, const uint8_t* bytes, size_t size, const int* fds, size_t fd_count) {
  iovec span{const_cast<uint8_t*>(bytes), size};
  msghdr message{};
  message.msg_iov = &span;
  message.msg_iovlen = 1;
  Control control;
  if (fd_count != 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
    std::memset(control.bytes, 0, message.msg_controllen);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
  }
  ssize_t sent;
  do {
    sent = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

void expect_descriptors_only(int socket) {
  const int off = 0;
  for (const int option : {SO_PASSCRED, SO_PASSSEC, SO_PASSPIDFD})  // what a kernel does not know is off
    ::setsockopt(socket, SOL_SOCKET, option, &off, sizeof off);
}

Received receive_message(int socket, uint8_t* buffer, size_t capacity) {
  using Status = Received::Status;
  iovec span{buffer, capacity};
  Control control;
  msghdr message{};
  message.msg_iov = &span;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t size;
  do {
    size = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {Status::kNothingYet, 0, {}, 0};
    return {Status::kFailed, 0, {}, errno};
  }
  std::vector<Fd> fds = take_fds(message);
  if ((message.msg_flags & MSG_CTRUNC) != 0) return {Status::kTruncated, 0, {}, 0};
  if (size == 0) return {Status::kEnd, 0, {}, 0};
  return {Status::kData, static_cast<size_t>(size), std::move(fds), 0};
}

}  // namespace cuda_ipc
