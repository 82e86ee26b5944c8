#include "channel/unix_address.h"

#include <sys/socket.h>

#include <cstring>

#include "driver/error.h"

namespace cuda_ipc {

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // Empty, or with a leading NUL, it would be an abstract socket: no file, so no mode guards it.
  if (path.empty() || path.find('\0') != std::string::npos)
    throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT", "Expected a path without NUL bytes for the socket");
  constexpr size_t kMost = sizeof address.sun_path - 1;
  if (path.size() > kMost)
    throw Error("ERR_CUDA_IPC_SOCKET_PATH", "The socket path " + path + " has " +
                                                std::to_string(path.size()) + " bytes, but Linux allows " +
                                                std::to_string(kMost) +
                                                ". Choose a shorter one, for example below /run/user/" +
                                                "UID, or relative to the working directory");
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

}  // namespace cuda_ipc
