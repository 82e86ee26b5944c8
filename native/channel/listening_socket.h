// What a descriptor that was inherited listens to.
#pragma once

#include <optional>
#include <string>

namespace cuda_ipc {

// Nothing when the descriptor is no listening socket (or not open). The path where it is a SOCK_STREAM Unix
// socket in the file system; empty for any other, such as a TCP port.
std::optional<std::string> listening_path(int fd);

}  // namespace cuda_ipc
