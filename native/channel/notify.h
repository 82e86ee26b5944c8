// Datagrams with descriptors, as service managers take them from their services (sd_notify).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cuda_ipc {

// Sends one datagram to a Unix socket: a path, or the name of an abstract socket behind '@'. Never blocks.
// False when the receiver has as many waiting as the kernel lets it: try again. The descriptors stay the
// caller's. Throws Error: ERR_CUDA_IPC_SERVICE_MANAGER when nobody receives there, ERR_CUDA_IPC_SOCKET_PATH,
// ERR_CUDA_IPC_PERMISSION, ERR_CUDA_IPC_FD_LIMIT.
bool try_notify(const std::string& address, const uint8_t* bytes, size_t size, const int* fds,
                size_t fd_count);

}  // namespace cuda_ipc
