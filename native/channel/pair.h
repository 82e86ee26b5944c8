// Connections between a process and a child that it starts.
#pragma once

#include <memory>
#include <utility>

#include "channel/channel.h"

namespace cuda_ipc {

// Two connected ends: one to use here, one for a child to inherit. For either, its peer is the process that
// made the pair. Throws Error (ERR_CUDA_IPC_FD_LIMIT, ERR_CUDA_IPC_CONNECTION).
std::pair<std::shared_ptr<Channel>, Fd> make_channel_pair();

// A channel on an inherited end. Throws Error: ERR_CUDA_IPC_INVALID_ARGUMENT when that is no such socket.
std::shared_ptr<Channel> adopt_channel(Fd socket);

}  // namespace cuda_ipc
