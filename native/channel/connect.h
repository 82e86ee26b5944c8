// Connecting to the owner at a path.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "channel/channel.h"

namespace cuda_ipc {

// Connects, or returns null when the owner's backlog is full. Never blocks. Throws Error:
// ERR_CUDA_IPC_NO_OWNER, ERR_CUDA_IPC_SOCKET_PATH, ERR_CUDA_IPC_PERMISSION, ERR_CUDA_IPC_FD_LIMIT,
// ERR_CUDA_IPC_CONNECTION.
std::shared_ptr<Channel> try_connect(const std::string& path);
// The same, with these bytes on their way before anything else is done: the owner is at work meanwhile.
std::shared_ptr<Channel> try_connect(const std::string& path, const std::vector<uint8_t>& first_words);

// Tries again until it succeeds, fails, or the owner has not accepted anybody for long. Calls `done` once, on
// the reactor's thread, with a channel or an error. Dropped without a call once `wanted` has expired.
using Connected = std::function<void(std::shared_ptr<Channel>, std::optional<Error>)>;
void connect_later(const std::string& path, std::weak_ptr<void> wanted, Connected done);

}  // namespace cuda_ipc
