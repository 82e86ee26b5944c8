// The address of a socket in the file system.
#pragma once

#include <sys/un.h>

#include <string>

namespace cuda_ipc {

// Throws Error: ERR_CUDA_IPC_SOCKET_PATH when the path is longer than the 107 bytes that an address holds,
// ERR_CUDA_IPC_INVALID_ARGUMENT when it is empty or holds a NUL.
sockaddr_un unix_address(const std::string& path);

}  // namespace cuda_ipc
