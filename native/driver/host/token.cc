#include "driver/host/token.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cinttypes>
#include <cstddef>
#include <cstdio>
#include <cstring>

#include "driver/host/system.h"
#include "driver/host/token_name.h"

namespace cuda_ipc::host {
namespace {

// The one datagram in a loaded token's queue; the memory's descriptor is beside it.
struct Message {
  char magic[8];
  uint64_t scope, bytes, id;
  int32_t device;
  uint32_t reserved;
};
constexpr char kMagic[8] = {'c', 'i', 'p', 'c', 'm', 'e', 'm', '1'};

bool is_token(int fd) {
  sockaddr_un address{};
  socklen_t length = sizeof(address);
  int type = 0;
  socklen_t type_length = sizeof(type);
  return getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0 &&
         address.sun_family == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_length) == 0 &&
         type == SOCK_DGRAM && length > offsetof(sockaddr_un, sun_path) + 1 + sizeof(kTokenPrefix) &&
         address.sun_path[0] == 0 &&
         std::memcmp(address.sun_path + 1, kTokenPrefix, sizeof(kTokenPrefix) - 1) == 0;
}

Fd take_descriptor(msghdr& header) {
  cmsghdr* control = CMSG_FIRSTHDR(&header);
  int fd = -1;
  if (control != nullptr && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS)
    std::memcpy(&fd, CMSG_DATA(control), sizeof(fd));
  return Fd(fd);
}

}  // namespace

cu::CUresult create_token(const MemoryName& memory, Fd& token) {
  Fd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return result_of_errno(errno);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const int written = std::snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, kTokenFormat,
                                    memory.scope, memory.device, memory.bytes, memory.id, random_number());
  const auto length =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<size_t>(written));
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  if (bind(fd.get(), name, length) != 0 || connect(fd.get(), name, length) != 0)
    return result_of_errno(errno);
  token = std::move(fd);
  return cu::CUDA_SUCCESS;
}

cu::CUresult load_token(const Fd& token, const MemoryName& memory, const Fd& descriptor) {
  Message message{};
  std::memcpy(message.magic, kMagic, sizeof(kMagic));
  message.scope = memory.scope;
  message.bytes = memory.bytes;
  message.id = memory.id;
  message.device = memory.device;

  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec part{&message, sizeof(message)};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = descriptor.get();
  std::memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
  // ETOOMANYREFS: the user has as many descriptors in queues as the limit on open files allows.
  if (sendmsg(token.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(message))
    return result_of_errno(errno);
  return cu::CUDA_SUCCESS;
}

cu::CUresult read_token(int fd, uint64_t scope, MemoryName& memory, Fd& descriptor) {
  if (!is_token(fd)) return cu::CUDA_ERROR_UNKNOWN;
  Message message{};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec part{&message, sizeof(message)};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  const ssize_t length = recvmsg(fd, &header, MSG_PEEK | MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (length < 0) return cu::CUDA_ERROR_UNKNOWN;
  Fd received = take_descriptor(header);
  if (length != sizeof(message) || std::memcmp(message.magic, kMagic, sizeof(kMagic)) != 0 ||
      message.scope != scope)
    return cu::CUDA_ERROR_UNKNOWN;
  if (!received) return cu::CUDA_ERROR_OPERATING_SYSTEM;  // this process is at its limit of descriptors
  // Unsealed memory could be shrunk under its mappings.
  struct stat facts {};
  const int seals = fcntl(received.get(), F_GET_SEALS);
  if (fstat(received.get(), &facts) != 0 || static_cast<uint64_t>(facts.st_size) != message.bytes ||
      seals < 0 || (seals & F_SEAL_SHRINK) == 0)
    return cu::CUDA_ERROR_UNKNOWN;
  memory = {message.scope, message.device, message.bytes, message.id};
  descriptor = std::move(received);
  return cu::CUDA_SUCCESS;
}

}  // namespace cuda_ipc::host
